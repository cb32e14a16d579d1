"""Documents about money as PDF: plain dataclasses in, bytes out. It knows no model, no setting and no clock."""

from billing.pdf.document import Align, Column, Document, Fact, Letterhead, Party, Row, Table, Total

__all__ = [
    "Align",
    "Column",
    "Document",
    "Fact",
    "Letterhead",
    "Party",
    "Row",
    "Table",
    "Total",
    "render_pdf",
]


def render_pdf(document: Document) -> bytes:
    """``document`` as a PDF; the same document always gives the same bytes."""
    # The library and its fonts take as long to import as the rest of a process, and few processes make documents.
    from billing.pdf.render import render  # noqa: PLC0415 - the library is heavy, and few requests need it

    return render(document)
