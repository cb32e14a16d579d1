"""What agents call."""

from django.urls import path

from hosting.api import agent, speed, tools

urlpatterns = [
    path("register", agent.register, name="agent_register"),
    path("sync", agent.sync, name="agent_sync"),
    path("check", agent.check, name="agent_check"),
    path("tools/<str:digest>", tools.tools, name="agent_tools"),
    path("speed/<str:ticket>", speed.speed, name="agent_speed"),
]
