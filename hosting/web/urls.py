"""Pages of hosts."""

from django.urls import path

from hosting.web import (
    benchmarks,
    earnings,
    figures,
    idle_jobs,
    installing,
    maintenance,
    price_effect,
    reachability,
    verification,
    views,
)

urlpatterns = [
    path("install.sh", installing.script, name="install_script"),
    path("install.sh.sha256", installing.digest, name="install_script_digest"),
    path("host/machines/", views.machines, name="host_machines"),
    path("host/machines/cards/", views.machine_cards, name="host_machine_cards"),
    path("host/machines/<int:machine_id>/", views.machine, name="host_machine"),
    path("host/machines/<int:machine_id>/figures/", figures.figures, name="host_figures"),
    path("host/machines/<int:machine_id>/history/", figures.history, name="host_history"),
    path("host/machines/<int:machine_id>/prices/", views.prices, name="host_prices"),
    path("host/machines/<int:machine_id>/prices/effect/", price_effect.price, name="host_price_effect"),
    path("host/machines/<int:machine_id>/maintenance/", maintenance.announce, name="host_maintenance"),
    path("host/machines/<int:machine_id>/maintenance/cancel/", maintenance.cancel, name="host_maintenance_cancel"),
    path("host/machines/<int:machine_id>/unlist/", views.unlist, name="host_unlist"),
    path("host/machines/<int:machine_id>/extend/", views.extend, name="host_extend"),
    path("host/machines/<int:machine_id>/benchmark/", benchmarks.ask, name="host_benchmark"),
    path("host/machines/<int:machine_id>/benchmarks/<int:run_id>/", benchmarks.run, name="host_benchmark_run"),
    path("host/machines/<int:machine_id>/ports/", reachability.check_ports, name="host_check_ports"),
    path("host/machines/<int:machine_id>/challenge/", verification.challenge, name="host_challenge"),
    path("host/machines/<int:machine_id>/cases/<int:case_id>/appeal/", verification.appeal, name="host_appeal"),
    path("host/jobs/", idle_jobs.jobs, name="host_jobs"),
    path("host/jobs/create/", idle_jobs.create, name="host_job_create"),
    path("host/jobs/<int:machine_id>/remove/", idle_jobs.remove, name="host_job_remove"),
    path("host/earnings/", earnings.earnings, name="host_earnings"),
    path("host/earnings.csv", earnings.earnings_csv, name="host_earnings_csv"),
    path("host/setup/", views.setup, name="host_setup"),
    path("host/setup/tokens/", views.token_create, name="host_token_create"),
    path("host/setup/tokens/<int:token_id>/revoke/", views.token_revoke, name="host_token_revoke"),
]
