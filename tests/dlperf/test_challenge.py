"""The challenge: the same answer everywhere, exact, bounded; and what cheaters tell is found wrong."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlperf.challenge.command import challenge_command
from dlperf.challenge.plan import (
    BLOCK,
    LARGEST_HALF_SUM,
    LARGEST_SINGLE_SUM,
    Kind,
    Plan,
    audited,
    block_digest,
    buffer_key,
    draw,
    entries,
    first_state,
    words,
)
from dlperf.challenge.transcript import MAX_TRANSCRIPT_BYTES, answer_of, decode_transcript
from dlperf.challenge.verify import PRIME, is_product, problem
from tests.dlperf.challenges import NONCE, PLAN, TINY, cheater, decoded, forgetful, provers, reference, told
from tests.dlperf.workload import require_torch, run_program, ship

SEED = b"secret"
LEFT, RIGHT = (entries(Kind.BYTE, key, first_row=0, rows=BLOCK, depth=8) for key in (1, 2))
PRODUCT = [sum(LEFT[8 * r + k] * RIGHT[8 * c + k] for k in range(8)) for r in range(BLOCK) for c in range(BLOCK)]


def found(answer: dict[str, Any], *, nonce: bytes = NONCE, gpus: int = 2, plan: Plan = PLAN) -> str:
    return problem(decoded(answer, plan), plan=plan, nonce=nonce, gpus=gpus, seed=SEED)


@pytest.fixture(scope="module")
def honest() -> dict[str, Any]:
    return told(provers())


def test_an_honest_answer_is_right_and_told_in_few_bytes(honest: dict[str, Any]) -> None:
    assert found(honest) == ""
    assert len(json.dumps(honest)) < MAX_TRANSCRIPT_BYTES


def test_the_program_alone_with_torch_gives_the_same_answer(honest: dict[str, Any], tmp_path: Path) -> None:
    require_torch()
    ran = run_program(ship(tmp_path), challenge_command(PLAN, NONCE, gpus=2, device="cpu", python=sys.executable))
    assert (ran.returncode, json.loads(ran.stdout)) == (0, honest), ran.stderr


def test_an_answer_made_without_torch_is_the_same() -> None:
    assert told(provers(plan=TINY), plan=TINY) == json.loads(reference(NONCE, 2))


def test_without_the_gpus_that_were_claimed_there_is_no_answer() -> None:
    require_torch()
    from dlperf.challenge.prove import devices  # noqa: PLC0415 - torch is imported only by tests that use it

    assert devices("cpu", 3) == ["cpu"] * 3
    with pytest.raises(ValueError, match="torch sees"):
        devices("cuda", 17)


@pytest.mark.parametrize("pass_number", range(3))
def test_the_servers_numbers_are_the_provers(pass_number: int) -> None:
    (prover,) = provers(gpus=1)
    state = first_state(NONCE, 0)
    drawn = draw(PLAN, state, pass_number)
    product = prover.product(drawn).flatten().tolist()
    key = buffer_key(NONCE, 0)
    left = entries(drawn.kind, key, first_row=drawn.first_row, rows=BLOCK, depth=PLAN.depth)
    right = entries(drawn.kind, drawn.key, first_row=0, rows=BLOCK, depth=PLAN.depth)
    row = [sum(a * b for a, b in zip(left[:64], right[c * 64 : c * 64 + 64], strict=True)) for c in range(BLOCK)]
    assert product[:BLOCK] == row
    assert prover.step_digests(state)[pass_number] == [block_digest(product, salt=drawn.salt, row=0, column=0)]


def test_any_part_of_a_stream_can_be_reproduced_alone() -> None:
    whole = words(5, 0, 64)
    assert whole[17:30] == words(5, 17, 13)
    # The reference of splitmix64 with the seed 0.
    assert [hex(word) for word in words(0, 0, 3)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


@given(st.integers(1, 600).map(lambda eighths: 8 * eighths))
def test_every_sum_is_exact_or_the_plan_is_refused(depth: int) -> None:
    try:
        plan = Plan(width=256, depth=depth, steps=1, passes=1, buffer_rows=256)
    except ValueError:
        assert depth > LARGEST_HALF_SUM
        return
    assert plan.largest_sum(Kind.HALF) <= LARGEST_HALF_SUM
    assert max(plan.largest_sum(Kind.BYTE), plan.largest_sum(Kind.SINGLE)) <= LARGEST_SINGLE_SUM


@pytest.mark.parametrize("kind", Kind)
def test_the_largest_sums_are_exact_in_the_types_that_hold_them(kind: Kind) -> None:
    require_torch()
    import torch  # noqa: PLC0415  # it is there for some tests only

    plan = Plan(width=256, depth=2048, steps=1, passes=1, buffer_rows=256)
    largest = plan.largest_sum(kind)
    held = torch.float16 if kind is Kind.HALF else torch.float32
    for value in (largest, -largest, largest - 1):
        assert int(torch.tensor(value, dtype=held)) == value


def test_entries_are_those_that_the_bounds_speak_of() -> None:
    assert set(entries(Kind.HALF, 3, first_row=0, rows=64, depth=64)) == {-1, 0, 1}
    assert set(entries(Kind.BYTE, 3, first_row=0, rows=64, depth=64)) == set(range(-16, 16))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, BLOCK - 1), st.integers(0, BLOCK - 1), st.integers(-3, 3).filter(bool), st.binary(max_size=8))
def test_a_product_with_one_wrong_entry_is_no_product(row: int, column: int, error: int, seed: bytes) -> None:
    left, right, product = LEFT, RIGHT, list(PRODUCT)
    assert is_product(product, left, right, seed=seed)
    product[row * BLOCK + column] += error
    assert not is_product(product, left, right, seed=seed)


def test_entries_can_not_be_taken_for_others_that_differ_by_the_prime() -> None:
    assert PRIME > 2**33


CHEATS = {
    "low rank": lambda _self, _drawn, honest: _low_rank(honest),
    "low precision": lambda _self, _drawn, honest: (honest // 16) * 16,
    "nothing": lambda _self, _drawn, honest: honest * 0,
    "one column off": lambda _self, _drawn, honest: honest.roll(1, 1),
}


def _low_rank(honest: Any) -> Any:
    left, values, right = honest.float().svd()
    return (left[:, :16] * values[:16] @ right[:, :16].T).round().int()


@pytest.mark.parametrize("cheat", CHEATS)
def test_products_that_are_not_computed_are_found_by_the_audit_and_by_comparison(
    cheat: str, honest: dict[str, Any]
) -> None:
    answer = told(provers(cheater(CHEATS[cheat])))
    assert "product is wrong" in found(answer)
    assert answer_of(decoded(answer).gpus) != answer_of(decoded(honest).gpus)


def test_a_rounded_product_in_one_of_many_passes_is_found_by_comparison(honest: dict[str, Any]) -> None:
    def once(_self: Any, drawn: Any, product: Any) -> Any:
        return product + 1 if drawn.key == draw(PLAN, first_state(NONCE, 0), 1).key else product

    answer = decoded(told(provers(cheater(once))))
    ours = answer_of(decoded(honest).gpus)
    assert answer_of(answer.gpus)[0] != ours[0]
    assert answer_of(answer.gpus)[1] == ours[1]


def test_who_has_less_memory_than_it_claims_has_another_answer(honest: dict[str, Any]) -> None:
    answer = told(provers(forgetful()))
    assert "product is wrong" in found(answer)
    assert answer_of(decoded(answer).gpus) != answer_of(decoded(honest).gpus)


def test_an_old_answer_is_known_as_one(honest: dict[str, Any]) -> None:
    assert "another question" in found(honest, nonce=b"a new nonce")
    relabelled = honest | {"nonce": hashlib.sha256(b"a new nonce").hexdigest()}
    assert found(relabelled, nonce=b"a new nonce") != ""


def test_one_gpu_that_answers_for_all_is_found(honest: dict[str, Any]) -> None:
    assert "is about 2 GPUs" in found(honest, gpus=8)
    doubled = honest | {"gpus": [honest["gpus"][decoded(honest).place.gpu]] * 2}
    assert found(doubled) != ""


def test_what_does_not_hang_together_is_told(honest: dict[str, Any]) -> None:
    answer = decoded(honest)
    wrong = {
        "states": dataclasses.replace(answer, states=[b"x" * 16, *answer.states[1:]]),
        "follow": dataclasses.replace(answer, pass_hashes=[b"x" * 16] * 3),
        "digests": dataclasses.replace(answer, digests=[answer.digests[0] + 1]),
        "wrong": dataclasses.replace(answer, block=[answer.block[0] + 1, *answer.block[1:]]),
    }
    for word, changed in wrong.items():
        assert word in problem(changed, plan=PLAN, nonce=NONCE, gpus=2, seed=SEED)


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"gpus": []},
        {"states": "eJw="},
        {"states": "no base64!"},
        {"block": "eJzLSM3JyQcABiwCFQ=="},
        {"pass_hashes": ["zz"]},
        {"gpus": [{"root": "00", "last": "00"}]},
    ],
)
def test_what_has_another_form_is_refused_in_a_sentence(change: dict[str, Any], honest: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="answer"):
        decode_transcript(json.dumps(honest | change), PLAN)


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading(text: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        decode_transcript(text, PLAN)


def test_too_long_an_answer_is_not_read() -> None:
    with pytest.raises(ValueError, match="too long"):
        decode_transcript("[" * (MAX_TRANSCRIPT_BYTES + 1), PLAN)


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=16))
def test_the_audited_place_is_one_that_there_is(roots: list[bytes]) -> None:
    place = audited(PLAN, roots)
    assert 0 <= place.gpu < len(roots)
    assert (0 <= place.step < 3, 0 <= place.pass_number < 3, place.block) == (True, True, 0)
