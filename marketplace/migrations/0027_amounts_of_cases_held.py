"""Payouts of a whole account that were held because of a machine's verification: the amounts of the cases are held."""

import re
from typing import Any

from django.db import migrations

OPEN, UNDECIDED = ("held", "upheld"), ("open", "appealed")
BY_RULE = re.compile(r"Machine \d+ failed its verification \(case (\d+)\)\.")


def hold_amounts(apps: Any, _: object) -> None:
    """Hold what undecided cases of held hosts are about, and the one that holds them; let the rest of the account go.

    Staff's own holds stay, and so does what staff let go.
    """
    cases = apps.get_model("hosting", "VerificationCase").objects.select_related("machine")
    for terms in apps.get_model("billing", "AccountTerms").objects.exclude(payouts_held_reason=""):
        by_rule = BY_RULE.fullmatch(terms.payouts_held_reason)
        for case in cases.filter(machine__host_id=terms.owner_id).order_by("pk"):
            if case.state in UNDECIDED or (by_rule and case.pk == int(by_rule[1])):
                _hold(apps, case)
        if by_rule:
            terms.payouts_held_reason = ""
            terms.save(update_fields=["payouts_held_reason"])


def _hold(apps: Any, case: Any) -> None:
    case.holds_payouts = case.earned_micros > 0
    case.save(update_fields=["holds_payouts"])
    if case.holds_payouts:
        apps.get_model("billing", "PayoutHold").objects.create(
            host_id=case.machine.host_id,
            reference=f"verification_case:{case.pk}",
            earner=f"machine:{case.machine_id}",
            since=case.window_start,
            held_at=case.opened_at,
            amount_micros=case.earned_micros,
            reason=f"Machine {case.machine_id} failed its verification (case {case.pk}).",
            state="upheld" if case.state == "upheld" else "held",
        )


def hold_accounts(apps: Any, _: object) -> None:
    """Back: whoever has an amount held has all payouts held, by the oldest case."""
    holds = apps.get_model("billing", "PayoutHold").objects
    for hold in holds.filter(state__in=OPEN).order_by("pk"):
        terms, _made = apps.get_model("billing", "AccountTerms").objects.get_or_create(owner_id=hold.host_id)
        if not terms.payouts_held_reason:
            terms.payouts_held_reason = hold.reason
            terms.save(update_fields=["payouts_held_reason"])
    holds.filter(state__in=OPEN).delete()


class Migration(migrations.Migration):
    dependencies = [
        ("billing", "0012_payout_holds"),
        ("hosting", "0029_toolkit_version"),
        ("marketplace", "0026_staff_rights"),
    ]

    operations = [migrations.RunPython(hold_amounts, hold_accounts)]
