"""What agents call."""

from django.urls import path

from hosting.api import agent, speed

urlpatterns = [
    path("register", agent.register, name="agent_register"),
    path("sync", agent.sync, name="agent_sync"),
    path("check", agent.check, name="agent_check"),
    path("speed/<str:ticket>", speed.speed, name="agent_speed"),
]
