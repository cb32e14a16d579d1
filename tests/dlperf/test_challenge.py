"""The challenge: the same answer everywhere, exact, bounded; and what cheaters tell is found wrong."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlperf.challenge.answers import (
    MOST_ANSWER_BYTES,
    MOST_COMMITMENT_BYTES,
    common_answer,
    decode_commitment,
    decode_revealed,
)
from dlperf.challenge.command import challenge_command
from dlperf.challenge.plan import (
    LARGEST_HALF_SUM,
    LARGEST_SINGLE_SUM,
    SHELF_LEAVES,
    WORD_BYTES,
    Kind,
    Place,
    Plan,
    draw,
    first_state,
    leaves_root,
    shelf_hashes,
    shelves_root,
)
from dlperf.challenge.recompute import Memory, product, product_digest, small, stream_rows, words
from dlperf.challenge.verify import PRIME, commitment_problem, is_product
from dlperf.cuda import UnsupportedGpuError
from tests.dlperf.challenges import (
    NONCE,
    PLAN,
    SEED,
    TAG,
    TINY,
    Reference,
    all_places,
    asked,
    auditor,
    cheater,
    commitment,
    forgetful,
    problems,
    session,
    shown,
)
from tests.dlperf.workload import require_torch, run_program, ship

LEFT, RIGHT = (small(Kind.BYTE, stream_rows(key, first_row=0, rows=32, depth=8)) for key in (1, 2))
PRODUCT = product(LEFT, RIGHT)
A_PRODUCT = Place(1, 1, 2, 1)
A_GROUP = Place(0, 4, 3, 5)


@pytest.fixture(scope="module")
def honest() -> Any:
    one = session()
    asked(one)
    return one


def test_an_honest_answer_is_right_in_every_place(honest: Any) -> None:
    assert set(problems(honest)) == {""}
    assert len(json.dumps(asked(honest))) < MOST_COMMITMENT_BYTES


def test_the_largest_answer_that_can_be_asked_for_may_be_told() -> None:
    plan = Plan(side=512, depth=2048, products=1, passes=2, steps=1, common_steps=1, buffer_rows=512)
    one = session(gpus=1, plan=plan)
    asked(one)
    assert len(json.dumps(shown(one, Place(0, 0, 1, 0)))) < MOST_ANSWER_BYTES * 0.8


def test_the_program_alone_with_torch_gives_the_same_answer(honest: Any, tmp_path: Path) -> None:
    require_torch()
    command = challenge_command(PLAN, gpus=2, device="cpu", nonce=NONCE, python=sys.executable)
    ran = run_program(ship(tmp_path), command)
    told = decode_commitment(ran.stdout)
    assert (ran.returncode, common_answer(told.gpus)) == (0, common_answer(commitment(asked(honest)).gpus)), ran.stderr


def test_an_answer_made_without_torch_is_the_same() -> None:
    one, other = session(plan=TINY), Reference(NONCE, TAG, 2)
    assert asked(one) == json.loads(other.commitment())
    for place in all_places(TINY):
        assert shown(one, place) == json.loads(other.revealed(place))


def test_without_the_gpus_that_were_claimed_there_is_no_answer() -> None:
    require_torch()
    import torch  # noqa: PLC0415  # it is there for some tests only

    from dlperf.challenge.prove import devices  # noqa: PLC0415 - torch is imported only by some

    assert devices("cpu", 3) == ["cpu"] * 3
    with pytest.raises(ValueError if torch.cuda.is_available() else UnsupportedGpuError, match="torch"):
        devices("cuda", 17)


def test_any_part_of_a_stream_can_be_reproduced_alone() -> None:
    whole = words(5, 0, 64)
    assert list(whole[17:30]) == list(words(5, 17, 13))
    # The reference of splitmix64 with the seed 0.
    assert [hex(word) for word in words(0, 0, 3)] == ["0xe220a8397b1dcdaf", "0x6e789e6aa1b965f4", "0x6c45d188009454f"]


def test_any_row_of_a_memory_can_be_reproduced_alone() -> None:
    memory = Memory(PLAN, NONCE)
    whole = memory.rows(1, 0, 64)
    assert (whole[17:30] == memory.rows(1, 17, 13)).all()
    assert not (whole == memory.rows(0, 0, 64)).all()
    assert len(np.unique(whole)) > 200


@given(st.integers(1, 600).map(lambda eighths: 8 * eighths))
def test_every_sum_is_exact_or_the_plan_is_refused(depth: int) -> None:
    try:
        plan = dataclasses.replace(TINY, depth=depth)
    except ValueError:
        assert depth > LARGEST_HALF_SUM
        return
    assert plan.largest_sum(Kind.HALF) <= LARGEST_HALF_SUM
    assert max(plan.largest_sum(Kind.BYTE), plan.largest_sum(Kind.SINGLE)) <= LARGEST_SINGLE_SUM


@pytest.mark.parametrize(
    "sizes", [{"side": 33}, {"depth": 12}, {"products": 0}, {"passes": 99}, {"steps": 0}, {"buffer_rows": 100}]
)
def test_a_plan_that_makes_no_sense_is_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"[a-z]"):
        dataclasses.replace(PLAN, **sizes)


@pytest.mark.parametrize("kind", Kind)
def test_the_largest_sums_are_exact_in_the_types_that_hold_them(kind: Kind) -> None:
    require_torch()
    import torch  # noqa: PLC0415  # it is there for some tests only

    largest = dataclasses.replace(TINY, depth=2048).largest_sum(kind)
    held = torch.float16 if kind is Kind.HALF else torch.float32
    for value in (largest, -largest, largest - 1):
        assert int(torch.tensor(value, dtype=held)) == value


def test_entries_are_those_that_the_bounds_speak_of() -> None:
    stream = stream_rows(3, first_row=0, rows=64, depth=64)
    assert set(small(Kind.HALF, stream).ravel()) == {-1, 0, 1}
    assert set(small(Kind.BYTE, stream).ravel()) == set(range(-16, 16))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 31), st.integers(0, 31), st.integers(-(2**31), 2**31 - 1), st.binary(max_size=8))
def test_a_product_with_one_wrong_entry_is_no_product_and_has_another_digest(
    row: int, column: int, wrong: int, seed: bytes
) -> None:
    assert is_product(PRODUCT, LEFT, RIGHT, seed=seed)
    changed = PRODUCT.copy()
    changed[row, column] = wrong
    is_changed = bool(PRODUCT[row, column] != wrong)
    assert is_product(changed, LEFT, RIGHT, seed=seed) != is_changed
    assert (product_digest(changed, 7) != product_digest(PRODUCT, 7)) == is_changed


def test_entries_can_not_be_taken_for_others_that_differ_by_the_prime() -> None:
    changed = PRODUCT.copy()
    changed[3, 4] = int(PRODUCT[3, 4]) + (PRIME if PRODUCT[3, 4] < 0 else -PRIME)
    assert (int(changed[3, 4]) - int(PRODUCT[3, 4])) % PRIME == 0
    assert not is_product(changed, LEFT, RIGHT, seed=SEED)


@pytest.mark.parametrize("bit", [0, 30, 31])
def test_a_digest_sees_every_bit_of_every_entry(bit: int) -> None:
    for place in ((0, 0), (0, 1), (31, 31)):
        changed = PRODUCT.view(np.uint32).copy()
        changed[place] ^= np.uint32(2**bit)
        assert product_digest(changed.view(np.int32), 9) != product_digest(PRODUCT, 9)


def test_a_digest_is_no_linear_function_of_the_entries() -> None:
    """Else one product with the sum of all would do for many."""
    other = product(RIGHT, LEFT)
    nothing = product_digest(PRODUCT * 0, 5)
    together = product_digest(PRODUCT + other, 5) - nothing
    assert (together - (product_digest(PRODUCT, 5) + product_digest(other, 5) - 2 * nothing)) % 2**64 != 0


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
def test_products_that_are_not_computed_are_found_wherever_one_looks_and_by_comparison(cheat: str, honest: Any) -> None:
    one = session(cheater(CHEATS[cheat]))
    places = [place for place in all_places() if place.part < PLAN.passes]
    assert all("product is wrong" in problem for problem in problems(one, places))
    theirs, ours = (common_answer(commitment(asked(each)).gpus) for each in (one, honest))
    assert not set(theirs) & set(ours)


def test_a_wrong_product_in_one_of_many_passes_is_found_there_and_by_comparison(honest: Any) -> None:
    key = draw(PLAN, first_state(NONCE, b"", 0), 1).key

    def once(_self: Any, drawn: Any, found: Any) -> Any:
        return found + 1 if drawn.key == key else found

    one = session(cheater(once))
    ours, theirs = (common_answer(commitment(asked(each)).gpus) for each in (honest, one))
    assert (ours[0] == theirs[0], ours[1] == theirs[1]) == (False, True)
    wrong = [place for place, found in zip(all_places(), problems(one), strict=True) if found]
    assert wrong == [Place(0, PLAN.steps, 1, leaf) for leaf in range(PLAN.products)]


def test_who_has_less_memory_than_it_claims_is_found_wherever_it_lacks(honest: Any) -> None:
    one = session(forgetful())
    groups = [place for place in all_places() if place.part == PLAN.passes]
    found = dict(zip(groups, problems(one, groups), strict=True))
    lacking = {place for place, problem in found.items() if "memory read is not the memory" in problem}
    assert lacking == {place for place in groups if place.leaf >= PLAN.groups // 4}
    assert common_answer(commitment(asked(one)).gpus) != common_answer(commitment(asked(honest)).gpus)


def test_who_makes_up_states_is_found_wherever_it_did(honest: Any) -> None:
    """Before it knows where the server looks, it has to say what everything comes to."""
    one = session()
    asked(one)
    one.provers[0].states[2] = b"x" * 16
    found = problems(one, [place for place in all_places() if place.gpu == 0])
    steps = {place.step for place, problem in zip(all_places(), found, strict=False) if problem}
    assert steps == {2}
    with pytest.raises(ValueError, match="another question"):
        asked(one, nonce=b"another")
    assert set(problems(honest, [A_PRODUCT])) == {""}


def test_what_is_told_later_must_be_what_was_told_first(honest: Any) -> None:
    """A prover that computes the step that it is asked about, after it has made up all, is too late."""
    gpus = [{"root": digits * 16, "common": digits * 16} for digits in ("00", "11")]
    made_up = asked(honest) | {"gpus": gpus}
    told = decode_revealed(json.dumps(shown(honest, A_PRODUCT)), A_PRODUCT, PLAN)
    assert "are not those that its answer is made of" in auditor(made_up).problem(told)


def test_an_old_answer_is_known_as_one(honest: Any) -> None:
    told = commitment(asked(honest))
    assert "another question" in commitment_problem(told, nonce=b"a new nonce", gpus=2)
    relabelled = asked(honest) | {"nonce": hashlib.sha256(b"a new nonce").hexdigest()}
    place = decode_revealed(json.dumps(shown(honest, A_PRODUCT)), A_PRODUCT, PLAN)
    assert auditor(relabelled, nonce=b"a new nonce").problem(place)


def test_nobody_elses_work_is_of_use_for_the_own_chain(honest: Any) -> None:
    """With the same nonce another machine, with a tag of its own, has the common chain in common and nothing else."""
    other = session()
    mine, theirs = commitment(asked(honest)), commitment(asked(other, tag=b"another tag"))
    assert common_answer(mine.gpus) == common_answer(theirs.gpus)
    assert not {gpu.root for gpu in mine.gpus} & {gpu.root for gpu in theirs.gpus}
    first = Place(0, 0, 0, 0)
    told = decode_revealed(json.dumps(shown(other, first)), first, PLAN)
    assert "does not follow" in auditor(asked(other, tag=b"another tag")).problem(told)


def test_one_gpu_that_answers_for_all_is_found(honest: Any) -> None:
    told = asked(honest)
    assert "is about 2 GPUs" in commitment_problem(commitment(told), nonce=NONCE, gpus=8)
    doubled = told | {"gpus": [told["gpus"][0]] * 2}
    assert "Two GPUs have the same" in commitment_problem(commitment(doubled), nonce=NONCE, gpus=2)


@pytest.mark.parametrize("place", [A_PRODUCT, A_GROUP])
def test_what_does_not_hang_together_is_told(place: Place, honest: Any) -> None:
    told = decode_revealed(json.dumps(shown(honest, place)), place, PLAN)
    audit = auditor(asked(honest))
    assert audit.problem(told) == ""
    wrong: dict[str, dict[str, Any]] = {
        "states": {"states": [b"x" * 16, *told.states[1:]]},
        "follow": {"parts": [b"x" * 16] * 4},
        "digests": {"shelf": [told.shelf[0] + 1, *told.shelf[1:]]},
        "hashed": {"shelves": [b"x" * 16]},
    }
    for word, changes in wrong.items():
        assert word in audit.problem(dataclasses.replace(told, **changes))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 3},
        {"states": "eJw="},
        {"states": "no base64!"},
        {"entries": "eJzLSM3JyQcABiwCFQ=="},
        {"parts": ["zz"] * 4},
        {"parts": []},
        {"shelf": ""},
        {"shelves": 7},
    ],
)
def test_a_place_that_has_another_form_is_refused_in_a_sentence(change: dict[str, Any], honest: Any) -> None:
    with pytest.raises(ValueError, match="answer"):
        decode_revealed(json.dumps(shown(honest, A_PRODUCT) | change), A_PRODUCT, PLAN)


@pytest.mark.parametrize("change", [{"version": 1}, {"gpus": []}, {"gpus": [{"root": "00", "common": "00"}]}])
def test_a_commitment_that_has_another_form_is_refused_in_a_sentence(change: dict[str, Any]) -> None:
    told = json.loads(Reference(NONCE, TAG, 1).commitment())
    with pytest.raises(ValueError, match="answer"):
        decode_commitment(json.dumps(told | change))


@given(st.text(max_size=200))
def test_no_text_breaks_the_reading(text: str) -> None:
    with pytest.raises(ValueError, match="answer"):
        decode_commitment(text)
    with pytest.raises(ValueError, match="answer"):
        decode_revealed(text, A_PRODUCT, PLAN)


def test_too_long_an_answer_is_not_read() -> None:
    with pytest.raises(ValueError, match="too long"):
        decode_commitment("[" * (MOST_COMMITMENT_BYTES + 1))
    with pytest.raises(ValueError, match="too long"):
        decode_revealed("[" * (MOST_ANSWER_BYTES + 1), A_PRODUCT, PLAN)


@pytest.mark.parametrize("leaves", [1, SHELF_LEAVES, SHELF_LEAVES + 1, 3 * SHELF_LEAVES])
def test_digests_are_hashed_on_shelves_each_of_which_can_be_shown_alone(leaves: int) -> None:
    data = bytes(range(256)) * (leaves * WORD_BYTES // 256 + 1)
    data = data[: leaves * WORD_BYTES]
    hashes = shelf_hashes(data, WORD_BYTES)
    assert len(hashes) == -(-leaves // SHELF_LEAVES)
    assert shelves_root(hashes) == leaves_root(data, WORD_BYTES)
    last = data[(len(hashes) - 1) * SHELF_LEAVES * WORD_BYTES :]
    assert shelf_hashes(last, WORD_BYTES) == hashes[-1:]
    assert leaves_root(data[:-1] + b"\0", WORD_BYTES) != leaves_root(data, WORD_BYTES)
