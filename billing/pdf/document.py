"""What a document says. Amounts come as text, formatted by the caller; nothing here computes."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Align(StrEnum):
    """Where the text of a column stands; amounts stand right."""

    LEFT = "L"
    RIGHT = "R"


@dataclass(frozen=True, slots=True)
class Letterhead:
    """Who sends the document: the site's name, and its address as people type it."""

    site_name: str
    site_address: str


@dataclass(frozen=True, slots=True)
class Party:
    """Somebody the document is about; ``role`` is e.g. "Billed to", ``lines`` stand below the name."""

    role: str
    name: str
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to know, such as "Period": "2026-10"."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table; ``weight`` is its share of the width, relative to the other columns."""

    title: str
    weight: int = 1
    align: Align = Align.LEFT


@dataclass(frozen=True, slots=True)
class Row:
    """One row, a cell for each column; ``note`` stands small below the first cell."""

    cells: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Total:
    """A line below a table's last column; the ``strong`` one is what the reader looks for."""

    label: str
    amount: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a title; without rows ``empty`` stands in their place."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    title: str = ""
    totals: tuple[Total, ...] = ()
    empty: str = "Nothing in this period."

    def __post_init__(self) -> None:
        """Raises ValueError unless every row has a cell for each column."""
        if not self.columns or any(len(row.cells) != len(self.columns) for row in self.rows):
            raise ValueError(f"The rows of table {self.title!r} do not fit its columns.")


@dataclass(frozen=True, slots=True)
class Document:
    """All of a document. The same one gives the same bytes; ``created_at`` (with a time zone) is the time in them."""

    letterhead: Letterhead
    title: str
    created_at: datetime
    subtitle: str = ""
    parties: tuple[Party, ...] = ()
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    footer: str = ""
    """Stands on every page beside the page's number, e.g. the document's number."""
