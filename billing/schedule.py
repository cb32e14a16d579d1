"""What beat runs for billing."""

from typing import Any

from celery.schedules import crontab

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # Up to the full hour, but some minutes later: by then machines that fell silent before it are known to be offline.
    "billing-settle": {"task": "billing.tasks.settle_running_meters", "schedule": crontab(minute="5")},
    "billing-checkpoint": {"task": "billing.tasks.checkpoint_ledger", "schedule": crontab(minute="10")},
    # On Fridays there is something to do; at all other times this looks for what a Friday left undone.
    "billing-weeks": {"task": "billing.tasks.invoice_weeks", "schedule": crontab()},
    "billing-payouts": {"task": "billing.tasks.carry_payouts", "schedule": crontab()},
    "billing-check": {"task": "billing.tasks.check_ledger", "schedule": crontab(minute="20", hour="3")},
}
