"""Documents about money as PDF: plain dataclasses in, bytes out. It knows no model, no setting and no clock."""

from billing.pdf.document import Align, Column, Document, Fact, Letterhead, Party, Row, Table, Total
from billing.pdf.render import render_pdf

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
