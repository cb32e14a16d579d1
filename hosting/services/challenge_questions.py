"""Which question a machine is asked: one whose answer is known, one that others were asked, or a new one."""

import secrets
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from agent.protocol import ContainerSpec
from dlperf.challenge.plan import Plan
from hosting.domain.challenge_plans import challenge_spec, plan_for
from hosting.models import ChallengeQuestion, Machine, Measurement
from hosting.selectors import dlperf_image, hardware_of, specified_hardware, usable_gpus

QUORUM = 3
"""Hosts whose machines get the same question."""
ASKED_WITHIN = timedelta(days=7)
NONCE_BYTES = 16


def machine_plan(machine: Machine) -> Plan:
    """The challenge for this machine, by what is said of its GPUs: all of them must bear the least of them."""
    least_mb = min(usable_gpus(machine).values_list("vram_mb", flat=True), default=0)
    return plan_for(specified_hardware(machine), least_mb, simulated=machine.simulated)


def question_ask(
    measurement: Measurement, gpus: int, label: str, now: datetime
) -> tuple[dict[str, Any], ContainerSpec]:
    """Choose a question for the locked machine of a challenge; the challenge's parameters and its container.

    The tag is new for each try: what is computed with it is of use for no other, whoever got the same question. Only
    where the machine knows already which places it has to show, the next try is about the same.
    """
    known = measurement.parameters
    parameters = known if "places" in known else _chosen(measurement.machine, gpus, now)
    question = ChallengeQuestion.objects.get(pk=parameters["question"])
    return parameters, _spec(measurement.machine, question, label)


def _chosen(machine: Machine, gpus: int, now: datetime) -> dict[str, Any]:
    plan = machine_plan(machine)
    question = _known(plan, gpus) or _shared(machine, plan, gpus, now) or _new(plan, gpus)
    if question.asked_at is None:
        question.asked_at = now
        question.save(update_fields=["asked_at"])
    return {
        "question": question.pk,
        "gpus": gpus,
        "tag": secrets.token_hex(NONCE_BYTES),
        "hardware": challenged_hardware(machine),
    }


def _spec(machine: Machine, question: ChallengeQuestion, label: str) -> ContainerSpec:
    return challenge_spec(
        Plan(**question.plan),
        image=dlperf_image(machine),
        label=label,
        gpus=question.gpus,
        simulated=machine.simulated,
        cpu_cores=machine.cpu_cores,
        ram_mb=machine.ram_mb,
    )


def challenged_hardware(machine: Machine) -> str:
    """Names what a challenge of the machine would be about: its hardware, and which of its GPUs can be used."""
    usable = ",".join(str(gpu.index) for gpu in machine.gpus.all() if gpu.present and not gpu.unhealthy_reason)
    return f"{hardware_of(machine)}:{usable}"


def _alike(plan: Plan, gpus: int) -> QuerySet[ChallengeQuestion]:
    return ChallengeQuestion.objects.filter(plan=asdict(plan), gpus=gpus)


def _known(plan: Plan, gpus: int) -> ChallengeQuestion | None:
    """One in store. It is asked once: an answer that was given before can be repeated."""
    store = _alike(plan, gpus).filter(asked_at=None, known_answer__isnull=False)
    return store.select_for_update(skip_locked=True).order_by("pk").first()


def _shared(machine: Machine, plan: Plan, gpus: int, now: datetime) -> ChallengeQuestion | None:
    """One that machines of other hosts were asked lately, but neither this host's nor as many as it takes."""
    lately = (
        _alike(plan, gpus)
        .filter(asked_at__gt=now - ASKED_WITHIN, known_answer__isnull=True)
        .order_by("-asked_at", "-pk")
    )
    for question in lately[:QUORUM]:
        asked = Measurement.objects.filter(kind=Measurement.Kind.CHALLENGE, parameters__question=question.pk)
        hosts = set(asked.values_list("machine__host_id", flat=True))
        if machine.host_id not in hosts and len(hosts) < QUORUM:
            return question
    return None


def _new(plan: Plan, gpus: int) -> ChallengeQuestion:
    return ChallengeQuestion.objects.create(nonce=secrets.token_hex(NONCE_BYTES), plan=asdict(plan), gpus=gpus)


def question_store(*, nonce: str, plan: Plan, answer: list[str]) -> ChallengeQuestion:
    """Keep a question whose answer, a text for each GPU, was computed on a machine that the operator trusts.

    Raises ValueError where the nonce is not made of hexadecimal digits or is known already.
    """
    bytes.fromhex(nonce)
    if ChallengeQuestion.objects.filter(nonce=nonce).exists():
        raise ValueError(f"The nonce {nonce} is known already.")
    return ChallengeQuestion.objects.create(nonce=nonce, plan=asdict(plan), gpus=len(answer), known_answer=answer)
