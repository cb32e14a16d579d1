"""What containers write, made fit to be read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.domain.log_text import LONGEST_LINE_CHARS, chosen, complete_part, readable


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (b"", ""),
        (b"plain\n", "plain\n"),
        (b"\xff\xfe\n", "\ufffd\ufffd\n"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07x\x1b(B\n", "red x\n"),
        (b"10%\r50%\r100%\r\nnext\r\n", "100%\nnext\n"),
        (b"a\x00b\x08c\td\x1b", "abc\td"),
        ("left\u202eright".encode(), "leftright"),
        (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
    ],
)
def test_codes_for_terminals_are_left_out(written: bytes, shown: str) -> None:
    assert readable(written) == shown


def test_a_very_long_line_is_shortened() -> None:
    text = readable(b"x" * (LONGEST_LINE_CHARS + 7) + b"\nnext")
    assert text.startswith("x" * LONGEST_LINE_CHARS + "… [7 more characters]\n")
    assert text.endswith("next")


@given(st.binary(max_size=200))
def test_any_bytes_become_a_harmless_text(written: bytes) -> None:
    shown = readable(written)
    assert all(character in "\n\t" or character.isprintable() or ord(character) > 0x9F for character in shown)
    assert shown.count("\n") <= written.count(b"\n")
    shown.encode()


@given(st.lists(st.text("abAB", max_size=4), max_size=8), st.text("ab", max_size=2), st.none() | st.integers(1, 5))
def test_lines_are_chosen_by_what_they_hold_and_from_the_end(lines: list[str], wanted: str, last: int | None) -> None:
    found = [line for line in lines if wanted in line.lower()]
    expected = found if last is None else found[-last:]
    assert chosen("".join(f"{line}\n" for line in lines), containing=wanted, last=last) == "".join(
        f"{line}\n" for line in expected
    )


@given(st.binary(max_size=50))
def test_whole_lines_come_first(content: bytes) -> None:
    part = complete_part(content)
    assert content.startswith(part)
    assert part in (b"", content[: content.rfind(b"\n") + 1])
    assert b"\n" not in content[len(part) :]
    assert complete_part(b"x" * 20, most_pending_bytes=10) == b"x" * 20
