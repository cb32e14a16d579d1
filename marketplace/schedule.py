"""When the tasks of all apps run."""

from typing import Any

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    "marketplace-stop-exhausted": {"task": "marketplace.tasks.stop_exhausted_clients", "schedule": 1.0},
    "marketplace-delete-unpaid": {"task": "marketplace.tasks.delete_unpaid_disks", "schedule": 5.0},
    "marketplace-clear-dirty": {"task": "marketplace.tasks.clear_dirty_machines", "schedule": 1.0},
    "marketplace-sweep-moves": {"task": "marketplace.tasks.sweep_moves", "schedule": 1.0},
    "marketplace-sweep-copies": {"task": "marketplace.tasks.sweep_copies", "schedule": 1.0},
    "marketplace-stop-expired": {"task": "marketplace.tasks.stop_expired_instances", "schedule": 3.0},
    "marketplace-sweep-lifetimes": {"task": "marketplace.tasks.sweep_lifetimes", "schedule": 5.0},
    "marketplace-enforce-suspensions": {"task": "marketplace.tasks.enforce_suspensions", "schedule": 2.0},
    "marketplace-deliver-webhooks": {"task": "marketplace.tasks.deliver_webhooks", "schedule": 1.0},
    "marketplace-send-notice-mails": {"task": "marketplace.tasks.send_notice_mails", "schedule": 1.0},
}
