"""Challenges of machines: what was asked, how it was judged, what was found, and what became of it."""

from django.conf import settings
from django.db import models

from hosting.domain import verification as rules
from hosting.models.machine import Machine
from hosting.models.measurement import Measurement


class ChallengeQuestion(models.Model):
    """A nonce with a plan. It may be asked of machines of several hosts, whose answers must then be the same."""

    nonce = models.CharField(max_length=64, unique=True)
    plan = models.JSONField(help_text="dlperf.challenge.plan.Plan")
    gpus = models.PositiveIntegerField()
    known_answer = models.JSONField(
        null=True, blank=True, help_text="Computed beforehand on a machine that the operator trusts."
    )
    hosts = models.JSONField(default=list, blank=True, help_text="Accounts whose machines were asked it.")
    asked_at = models.DateTimeField(null=True, blank=True, help_text="First; null as long as it is in store.")

    class Meta:
        indexes = [models.Index(fields=["plan", "gpus", "asked_at"], name="question_by_plan")]

    def __str__(self) -> str:
        return f"question {self.pk}"


class ChallengeRun(models.Model):
    """The judgement on one challenge of a machine. A challenge that is over and has none is still to be judged."""

    measurement = models.OneToOneField(
        Measurement, primary_key=True, on_delete=models.PROTECT, related_name="judgement"
    )
    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="challenge_runs")
    question = models.ForeignKey(ChallengeQuestion, null=True, on_delete=models.PROTECT, related_name="runs")
    judged_at = models.DateTimeField()
    passed = models.BooleanField(null=True, help_text="Unknown where it came to nothing and that may be our fault.")
    seconds = models.FloatField(null=True, blank=True, help_text="From the order to the answer, by the server's clock.")
    answer = models.JSONField(null=True, blank=True, help_text="What each GPU came to.")

    class Meta:
        indexes = [models.Index(fields=["machine", "-judged_at"])]

    def __str__(self) -> str:
        return f"challenge {self.pk} of machine {self.machine_id}"


class VerificationFinding(models.Model):
    """Something about a machine that does not fit. Never edited."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="verification_findings")
    run = models.ForeignKey(ChallengeRun, on_delete=models.PROTECT, related_name="findings")
    code = models.CharField(max_length=40)
    evidence = models.TextField()
    shadow = models.BooleanField(help_text="Of a check that is being tried out: without consequences.")
    at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["machine", "-at"])]

    def __str__(self) -> str:
        return f"{self.code} of machine {self.machine_id}"


class VerificationCase(models.Model):
    """A machine that failed twice: unlisted and deverified until staff decide. The host may appeal once."""

    machine = models.ForeignKey(Machine, on_delete=models.PROTECT, related_name="verification_cases")
    state = models.CharField(max_length=10, choices=[(s, s) for s in rules.CASE_TRANSITIONS], default=rules.CASE_OPEN)
    opened_at = models.DateTimeField()
    evidence = models.TextField()
    window_start = models.DateTimeField(help_text="The last time that the machine was known to be what it claims.")
    earned_micros = models.BigIntegerField(help_text="What the machine earned its host from then until the case.")
    holds_payouts = models.BooleanField(help_text="Whether the host's payouts are held because of it.")
    appeal = models.TextField(blank=True)
    appealed_at = models.DateTimeField(null=True, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["machine"],
                condition=models.Q(state__in=rules.CASES_UNDECIDED),
                name="one_undecided_case_per_machine",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=list(rules.CASE_TRANSITIONS)), name="verification_case_state_known"
            ),
            models.CheckConstraint(
                condition=models.Q(decided_at__isnull=True, state__in=rules.CASES_UNDECIDED)
                | (models.Q(decided_at__isnull=False) & ~models.Q(state__in=rules.CASES_UNDECIDED)),
                name="verification_case_decided_when_final",
            ),
        ]

    def __str__(self) -> str:
        return f"case {self.pk} of machine {self.machine_id}"
