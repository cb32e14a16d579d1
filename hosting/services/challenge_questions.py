"""Which question a machine is asked: one whose answer is known, one that others were asked, or a new one."""

import secrets
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.db.models import QuerySet

from agent.protocol import ContainerSpec
from dlperf.challenge import CHALLENGE_VERSION
from dlperf.challenge.plan import Plan
from hosting.domain.challenge_plans import challenge_spec, plan_for
from hosting.domain.measuring import hardware_digest
from hosting.models import ChallengeQuestion, Machine, Measurement
from hosting.selectors import dlperf_image, hardware_of, is_known_model, specified_hardware, usable_gpus

QUORUM = 3
"""Hosts whose machines get the same question."""
ASKED_WITHIN = timedelta(days=7)
NONCE_BYTES = 16


def machine_plan(machine: Machine) -> Plan:
    """The challenge for this machine, by what is said of its GPUs: all of them must bear the least of them."""
    least_mb = min(usable_gpus(machine).values_list("vram_mb", flat=True), default=0)
    return plan_for(specified_hardware(machine), least_mb, simulated=machine.simulated)


def challenge_begin(
    measurement: Measurement, gpus: int, label: str, _now: datetime
) -> tuple[dict[str, Any], ContainerSpec]:
    """What the locked machine of a challenge is to do, without the question yet; its parameters and its container.

    The tag is new for each try: what is computed with it is of use for no other, whoever gets the same question. Only
    where the machine knows already which places it has to show, the next try is about the same.
    """
    machine, known = measurement.machine, measurement.parameters
    is_told = "places" in known and known["version"] == CHALLENGE_VERSION
    parameters = known if is_told else _parameters(machine, gpus)
    spec = challenge_spec(
        Plan(**parameters["plan"]),
        image=dlperf_image(machine),
        label=label,
        gpus=parameters["gpus"],
        simulated=machine.simulated,
        cpu_cores=machine.cpu_cores,
        ram_mb=machine.ram_mb,
    )
    return parameters, spec


def _parameters(machine: Machine, gpus: int) -> dict[str, Any]:
    return {
        "version": CHALLENGE_VERSION,
        "plan": asdict(machine_plan(machine)),
        "gpus": gpus,
        "tag": secrets.token_hex(NONCE_BYTES),
        "hardware": challenged_hardware(machine),
    }


def challenged_hardware(machine: Machine) -> str:
    """Names what a challenge of the machine would be about: its hardware as it is said to be, and which of its GPUs can
    be used."""
    present = sorted((gpu for gpu in machine.gpus.all() if gpu.present), key=lambda gpu: gpu.index)
    capabilities = [gpu.compute_capability for gpu in present]
    rates = [] if is_known_model(machine) else [(gpu.memory_bandwidth_gbps, gpu.fp32_tflops) for gpu in present]
    usable = [gpu.uuid for gpu in present if not gpu.unhealthy_reason]
    return hardware_digest(hardware_of(machine), machine.gpu_name, machine.simulated, capabilities, rates, usable)


def question_choose(*, measurement: Measurement, now: datetime) -> ChallengeQuestion:
    """The question of a challenge whose program is ready, on the locked machine: chosen now, and kept."""
    parameters, machine = measurement.parameters, measurement.machine
    if "question" in parameters:
        return ChallengeQuestion.objects.get(pk=parameters["question"])
    plan, gpus = Plan(**parameters["plan"]), parameters["gpus"]
    question = _known(plan, gpus) or _shared(machine, plan, gpus, now) or _new(plan, gpus)
    question.asked_at = question.asked_at or now
    question.hosts = [*question.hosts, machine.host_id]
    question.save(update_fields=["asked_at", "hosts"])
    measurement.parameters = parameters | {"question": question.pk}
    measurement.save(update_fields=["parameters"])
    return question


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
    for question in lately.select_for_update(skip_locked=True)[:QUORUM]:
        if machine.host_id not in question.hosts and len(question.hosts) < QUORUM:
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
