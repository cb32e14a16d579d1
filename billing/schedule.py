"""What beat runs for billing."""

from typing import Any

from celery.schedules import crontab

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # Up to the full hour, but some minutes later: by then machines that fell silent before it are known to be offline.
    "billing-settle": {"task": "billing.tasks.settle_running_meters", "schedule": crontab(minute="5")},
    "billing-credit-warnings": {"task": "billing.tasks.send_credit_warnings", "schedule": 20.0},
    "billing-checkpoint": {"task": "billing.tasks.checkpoint_ledger", "schedule": crontab(minute="10")},
    "billing-check": {"task": "billing.tasks.check_ledger", "schedule": 600.0},
}
