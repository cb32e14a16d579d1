"""What agents call."""

from django.urls import path

from hosting.api import agent, bundle, jobs, speed, telemetry, tools

urlpatterns = [
    path("register", agent.register, name="agent_register"),
    path("sync", agent.sync, name="agent_sync"),
    path("token", agent.token, name="agent_token"),
    path("telemetry", telemetry.telemetry, name="agent_telemetry"),
    path("check", agent.check, name="agent_check"),
    path("tools/<str:digest>", tools.tools, name="agent_tools"),
    path("bundle/<str:digest>", bundle.bundle, name="agent_bundle"),
    path("jobs/<int:job_id>/output", jobs.output, name="agent_job_output"),
    path("tasks/<int:task_id>/log", jobs.log, name="agent_kept_log"),
    path("speed/<str:ticket>", speed.speed, name="agent_speed"),
]
