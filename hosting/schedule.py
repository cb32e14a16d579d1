"""When this app's tasks run."""

from typing import Any

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "hosting-sweep-offline": {"task": "hosting.tasks.sweep_offline", "schedule": 5.0},
    "hosting-sweep-jobs": {"task": "hosting.tasks.sweep_jobs", "schedule": 5.0},
    "hosting-expire-listings": {"task": "hosting.tasks.expire_listings", "schedule": 60.0},
    "hosting-restart-idle-jobs": {"task": "hosting.tasks.restart_idle_jobs", "schedule": 15.0},
    "hosting-verify-machines": {"task": "hosting.tasks.verify_machines", "schedule": 30.0},
    "hosting-sweep-measurements": {"task": "hosting.tasks.sweep_measurements", "schedule": 30.0},
    "hosting-complete-relay-leases": {"task": "hosting.tasks.complete_relay_leases", "schedule": 30.0},
    "hosting-check-ports": {"task": "hosting.tasks.check_ports", "schedule": 10.0},
    "hosting-sweep-telemetry": {"task": "hosting.tasks.sweep_telemetry", "schedule": 300.0},
    "hosting-compute-yields": {"task": "hosting.tasks.compute_yields", "schedule": 60.0},
    "hosting-compute-reliability": {"task": "hosting.tasks.compute_reliability", "schedule": 600.0},
}
