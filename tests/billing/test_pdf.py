"""Documents as PDF, read back by another library."""

from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pypdf
import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from billing.pdf import Align, Column, Document, Fact, Letterhead, Party, Row, Table, Total, render_pdf
from billing.pdf.text import showable

COLUMNS = (Column("Description", 4), Column("Amount", 2, Align.RIGHT))
CHARGES = Table(
    columns=COLUMNS,
    rows=(Row(("Instance 12", "$3.60"), note="2x RTX 4090"), Row(("Instance 13", "$0.000001"))),
    title="Charges by instance",
    totals=(Total("Charges", "$3.600001"), Total("Closing balance", "$6.399999", strong=True)),
)
DOCUMENT = Document(
    letterhead=Letterhead("Spotyard", "https://spotyard.example"),
    title="Statement",
    subtitle="November 2026",
    created_at=datetime(2026, 12, 1, 8, 30, tzinfo=UTC),
    parties=(Party("Issued by", "Spotyard"), Party("Account", "Jana Novak", ("jana@example.com",))),
    facts=(Fact("Opening balance", "$10.00"), Fact("Period", "November 2026 (UTC)")),
    tables=(CHARGES, Table(columns=COLUMNS, rows=(), title="Payments")),
    notes=("Amounts are exact.",),
    footer="Statement S-12",
)


def read(document: Document) -> pypdf.PdfReader:
    return pypdf.PdfReader(BytesIO(render_pdf(document)), strict=True)


def text_of(document: Document) -> str:
    return "\n".join(page.extract_text() for page in read(document).pages)


def named(name: str) -> Document:
    return replace(DOCUMENT, parties=(Party("Account", name),))


def test_says_everything_it_is_given() -> None:
    text = text_of(DOCUMENT)
    for said in (
        "Spotyard",
        "https://spotyard.example",
        "November 2026",
        "ISSUED BY",
        "Jana Novak",
        "jana@example.com",
    ):
        assert said in text
    for said in ("Opening balance", "$10.00", "Charges by instance", "2x RTX 4090", "Instance 13 $0.000001"):
        assert said in text
    for said in ("$3.600001", "Closing balance $6.399999", "Nothing in this period.", "Amounts are exact."):
        assert said in text
    assert "Statement S-12 Page 1 of 1" in text


def test_tells_who_wrote_it_and_when() -> None:
    about = read(DOCUMENT).metadata
    assert about is not None
    assert (about.title, about.author) == ("Statement", "Spotyard")
    assert about.creation_date == DOCUMENT.created_at


def test_the_same_document_gives_the_same_bytes_at_any_time() -> None:
    with time_machine.travel(datetime(2026, 12, 1, tzinfo=UTC), tick=False):
        early = render_pdf(DOCUMENT)
    with time_machine.travel(datetime(2031, 6, 1, tzinfo=UTC), tick=False):
        assert render_pdf(DOCUMENT) == early
    assert render_pdf(replace(DOCUMENT, title="Invoice")) != early


def test_a_long_table_goes_on_on_the_next_page_with_its_column_titles() -> None:
    rows = tuple(Row((f"Instance {number}", f"${number}.00")) for number in range(1, 121))
    pages = read(replace(DOCUMENT, tables=(replace(CHARGES, rows=rows),))).pages
    texts = [page.extract_text() for page in pages]
    assert len(texts) > 2
    for number, text in enumerate(texts, start=1):
        assert "Description Amount" in text
        assert f"Page {number} of {len(texts)}" in text
    together = "\n".join(texts).splitlines()
    assert [line for line in together if line.startswith("Instance ")] == [
        f"Instance {number} ${number}.00" for number in range(1, 121)
    ]


def test_amounts_end_at_the_right_margin() -> None:
    ends = set()

    def visit(text: str, _ctm: list[float], matrix: list[float], _font: object, size: float) -> None:
        if text.strip() in ("$1.00", "$1234567.00"):
            ends.add((text.strip(), round(matrix[4]), size))

    rows = (Row(("A", "$1.00")), Row(("B", "$1234567.00")))
    tables = (Table(COLUMNS, rows),)
    read(replace(DOCUMENT, tables=tables)).pages[0].extract_text(visitor_text=visit)
    starts = {text: left for text, left, _ in ends}
    digit = 9 * 0.572  # Noto Sans' digits are as wide as one another
    assert starts["$1.00"] - starts["$1234567.00"] == pytest.approx(6 * digit, abs=1.5)


@pytest.mark.parametrize("name", ["Łukasz Żółć", "Жанна", "Ελένη", "Nguyễn Thị Hằng", "Zoë D'Arc №5"])
def test_names_with_glyphs_are_shown_as_they_are(name: str) -> None:
    assert name in text_of(named(name))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("王小明", "WangXiaoMing"),
        ("Zoe\u0308", "Zoë"),
        ("🚀 Ltd", ":rocket: Ltd"),
        ("\U000f0000", "U+F0000"),
        ("\ue000", "U+E000"),
        ("a\nb\tc", "a b c"),
        ("a\u202eb\u200dc", "abc"),
        ("{nb} **b** __u__ <b>", "{nb} **b** __u__ <b>"),
    ],
)
def test_other_names_do_not_vanish(name: str, shown: str) -> None:
    assert shown in text_of(named(name))


def test_a_word_wider_than_the_page_is_broken_and_endless_text_cut() -> None:
    assert "x" * 400 in text_of(named("x" * 400)).replace("\n", "")
    endless = replace(DOCUMENT, tables=(Table(COLUMNS, (Row(("word " * 9000, "$1.00")),)),))
    assert len(read(endless).pages) == 1
    assert "…" in text_of(endless)


def test_rows_have_a_cell_for_each_column() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Table(columns=COLUMNS, rows=(Row(("alone",)),))
    with pytest.raises(ValueError, match="do not fit"):
        Table(columns=(), rows=())


@given(st.text(max_size=60))
@settings(max_examples=25, deadline=None)
def test_no_text_makes_it_fail(text: str) -> None:
    document = replace(
        named(text), facts=(Fact(text, text),), tables=(Table(COLUMNS, (Row((text, "$1.00"), note=text),)),)
    )
    assert len(read(document).pages) >= 1


@given(st.text(max_size=200))
def test_all_that_is_written_has_a_glyph(text: str) -> None:
    glyphs = frozenset(range(32, 127))
    assert {ord(character) for character in showable(text, glyphs)} <= glyphs
