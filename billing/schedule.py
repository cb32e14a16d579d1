"""What beat runs for billing."""

from typing import Any

from celery.schedules import crontab

BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    # Up to the full hour, but some minutes later: by then machines that fell silent before it are known to be offline.
    "billing-settle": {"task": "billing.tasks.settle_running_meters", "schedule": crontab(minute="5")},
    "billing-credit-warnings": {"task": "billing.tasks.send_credit_warnings", "schedule": 20.0},
    "billing-checkpoint": {"task": "billing.tasks.checkpoint_ledger", "schedule": crontab(minute="10")},
    # On Fridays there is something to do; at all other times this looks for what a Friday left undone.
    "billing-weeks": {"task": "billing.tasks.invoice_weeks", "schedule": crontab()},
    "billing-payouts": {"task": "billing.tasks.carry_payouts", "schedule": crontab()},
    "billing-check": {"task": "billing.tasks.check_ledger", "schedule": 60.0},
    "billing-process-events": {"task": "billing.tasks.process_provider_events", "schedule": 1.0},
    "billing-charge-due": {"task": "billing.tasks.charge_due_clients", "schedule": 5.0},
    "billing-reconcile-payments": {"task": "billing.tasks.reconcile_payments", "schedule": 30.0},
    "billing-catch-up-on-events": {"task": "billing.tasks.catch_up_on_events", "schedule": 300.0},
}
