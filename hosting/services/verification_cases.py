"""Cases against machines that failed their verification: opened by the rule, appealed by hosts, decided by staff."""

from datetime import datetime

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction

from billing import services as billing
from billing.selectors import earnings_by
from hosting.domain import verification as rules
from hosting.errors import HostingError
from hosting.locks import lock_machine
from hosting.models import ChallengeRun, Listing, Machine, VerificationCase
from hosting.services.events import machine_event
from hosting.services.verification import machine_set_verification

LONGEST_APPEAL_CHARS = 2000


def case_open(*, machine: Machine, evidence: str, now: datetime) -> VerificationCase:
    """Deverify and unlist the locked machine, and hold what it earned since it was last known to be what it claims,
    until staff decide."""
    since = _known_good(machine)
    earned = _earned_micros(machine, since, now)
    case = VerificationCase.objects.create(
        machine=machine,
        opened_at=now,
        evidence=evidence,
        window_start=since,
        earned_micros=earned,
        holds_payouts=earned > 0,
    )
    _hold(case, now)
    if Listing.objects.filter(machine=machine, active=True).update(active=False):
        machine_event(machine, "unlisted", now=now, message="It failed its verification twice.", case=case.pk)
    machine_set_verification(machine_id=machine.pk, verification="deverified", actor=None, reason=evidence, now=now)
    return case


def _known_good(machine: Machine) -> datetime:
    """Since when what it earned is in doubt. What a case that was upheld holds, no other one holds too."""
    passed = ChallengeRun.objects.filter(machine=machine, passed=True).order_by("-judged_at").first()
    upheld = VerificationCase.objects.filter(machine=machine, state=rules.CASE_UPHELD).order_by("-opened_at").first()
    known = passed.judged_at if passed else machine.registered_at
    return max(known, upheld.opened_at) if upheld else known


def _earned_micros(machine: Machine, since: datetime, now: datetime) -> int:
    """The host's part of what the machine earned, as it would be paid; what is accrued and not posted is included."""
    return sum(use.amount_micros for use in earnings_by(machine.host, ["earner"], since, now, now, earner(machine)))


def earner(machine: Machine) -> str:
    """What billing calls the machine."""
    return f"machine:{machine.pk}"


def _hold(case: VerificationCase, now: datetime) -> None:
    billing.earnings_hold(
        host_id=case.machine.host_id,
        reference=hold_reference(case.pk),
        earner=earner(case.machine),
        since=case.window_start,
        amount_micros=case.earned_micros,
        reason=_reason(case),
        now=now,
    )


def hold_reference(case_id: int) -> str:
    """What billing calls the case whose earnings are held."""
    return f"verification_case:{case_id}"


def _reason(case: VerificationCase) -> str:
    return f"Machine {case.machine_id} failed its verification (case {case.pk})."


@transaction.atomic
def case_appeal(*, case_id: int, host: AbstractBaseUser, text: str, now: datetime) -> None:
    """The host says why the findings are wrong; staff read it before they decide.

    Raises HostingError: no_such_case (404), empty_appeal with the field at fault, case_closed (409) where it was
    appealed or decided before.
    """
    case = VerificationCase.objects.select_related("machine").filter(pk=case_id, machine__host_id=host.pk).first()
    if case is None:
        raise HostingError("no_such_case", f"You have no case {case_id}.", status=404)
    words = text.strip()[:LONGEST_APPEAL_CHARS]
    if not words:
        raise HostingError("empty_appeal", "Say what is wrong about the findings.", field="text")
    known = VerificationCase.objects.filter(pk=case_id, state=rules.CASE_OPEN)
    if not known.update(state=rules.CASE_APPEALED, appeal=words, appealed_at=now):
        raise HostingError("case_closed", "This case has been appealed or decided already.", status=409)
    machine_event(case.machine, "verification_appealed", now=now, actor=host, message=words, case=case_id)


@transaction.atomic
def case_decide(*, case_id: int, staff: AbstractBaseUser, uphold: bool, now: datetime) -> None:
    """Uphold it: the machine stays deverified, and the amount held until staff release or keep it. Or overturn it: the
    machine is unverified and may be listed, its host is paid, and what it failed until now counts no more.

    Raises HostingError: not_staff (403), no_such_case (404), case_closed (409) where it was decided before.
    """
    if not getattr(staff, "is_staff", False):
        raise HostingError("not_staff", "Only staff decide cases.", status=403)
    case = VerificationCase.objects.filter(pk=case_id).first()
    if case is None:
        raise HostingError("no_such_case", f"There is no case {case_id}.", status=404)
    machine = lock_machine(case.machine_id)
    state = rules.CASE_UPHELD if uphold else rules.CASE_OVERTURNED
    known = VerificationCase.objects.filter(pk=case_id, state__in=rules.CASES_UNDECIDED)
    if not known.update(state=state, decided_at=now, decided_by_id=staff.pk):
        raise HostingError("case_closed", "This case has been decided already.", status=409)
    machine_event(machine, f"verification_{state}", now=now, actor=staff, case=case_id)
    if uphold:
        billing.earnings_uphold_by_rule(reference=hold_reference(case_id))
    else:
        _clear_name(case_id, machine, staff, now)


def _clear_name(case_id: int, machine: Machine, staff: AbstractBaseUser, now: datetime) -> None:
    machine_set_verification(
        machine_id=machine.pk, verification="unverified", actor=staff, reason="The case was overturned.", now=now
    )
    billing.earnings_release_by_rule(reference=hold_reference(case_id), now=now)
