"""From a document to PDF."""

from billing.pdf.document import Align, Column, Document, Fact, Party, Row, Table, Total
from billing.pdf.sheet import BRAND, INK, MARGIN, QUIET, SUNKEN, Sheet

GAP = 3.0
CELL_PADDING = 1.9
FACTS_PER_LINE = 4
TOTALS_WIDTH = 0.52


def render(document: Document) -> bytes:
    """``document`` as a PDF."""
    sheet = Sheet(document)
    _title(sheet, document)
    _parties(sheet, document.parties)
    _facts(sheet, document.facts)
    for table in document.tables:
        _table(sheet, table)
    _notes(sheet, document.notes)
    return bytes(sheet.output())


def _title(sheet: Sheet, document: Document) -> None:
    sheet.pen(20, strong=True)
    top = sheet.write_at(MARGIN, sheet.get_y(), sheet.epw, document.title)
    if document.subtitle:
        sheet.pen(10.5, colour=QUIET)
        top = sheet.write_at(MARGIN, top + 0.5, sheet.epw, document.subtitle)
    sheet.set_y(top + 6)


def _parties(sheet: Sheet, parties: tuple[Party, ...]) -> None:
    """Side by side."""
    if not parties:
        return
    top, width = sheet.get_y(), (sheet.epw - GAP * (len(parties) - 1)) / len(parties)
    ends = [_party(sheet, MARGIN + place * (width + GAP), top, width, who) for place, who in enumerate(parties)]
    sheet.set_y(max(ends) + 6)


def _party(sheet: Sheet, left: float, top: float, width: float, party: Party) -> float:
    sheet.pen(7.5, strong=True, colour=QUIET)
    top = sheet.write_at(left, top, width, party.role.upper()) + 0.6
    sheet.pen(10, strong=True)
    top = sheet.write_at(left, top, width, party.name) + 0.3
    sheet.pen(9, colour=QUIET)
    for line in party.lines:
        top = sheet.write_at(left, top, width, line)
    return top


def _facts(sheet: Sheet, facts: tuple[Fact, ...]) -> None:
    """On bands, as many on each, so that none stands alone."""
    if not facts:
        return
    bands = -(-len(facts) // FACTS_PER_LINE)
    per_band = -(-len(facts) // bands)
    for start in range(0, len(facts), per_band):
        _facts_band(sheet, facts[start : start + per_band], sheet.epw / per_band)
    sheet.set_y(sheet.get_y() + 4)


def _facts_band(sheet: Sheet, facts: tuple[Fact, ...], width: float) -> None:
    sheet.pen(10, strong=True)
    values = [sheet.lines(fact.value, width - 2 * GAP) for fact in facts]
    height = max(map(len, values)) * sheet.line_height + 9.4
    top = sheet.get_y()
    sheet.set_fill_color(*SUNKEN)
    sheet.rect(MARGIN, top, sheet.epw, height, style="F", round_corners=True, corner_radius=1.6)
    for place, (fact, lines) in enumerate(zip(facts, values, strict=True)):
        left = MARGIN + place * width + GAP
        sheet.pen(7.5, colour=QUIET)
        label_end = sheet.put(left, top + 2.4, width - 2 * GAP, sheet.lines(fact.label, width - 2 * GAP)[:1])
        sheet.pen(10, strong=True)
        sheet.put(left, label_end + 0.4, width - 2 * GAP, lines)
    sheet.set_y(top + height + 1.5)


def _table(sheet: Sheet, table: Table) -> None:
    """Title, column titles again on every page, rows that are never torn, totals that stay together."""
    if not sheet.room_for(34):
        sheet.add_page()
    if table.title:
        sheet.pen(11.5, strong=True)
        sheet.set_y(sheet.write_at(MARGIN, sheet.get_y() + 2, sheet.epw, table.title) + 1.5)
    places = _places(sheet, table.columns)
    _column_titles(sheet, table.columns, places)
    for row in table.rows:
        _row(sheet, table.columns, places, row)
    if not table.rows:
        sheet.pen(9, colour=QUIET)
        sheet.set_y(sheet.write_at(MARGIN, sheet.get_y() + CELL_PADDING, sheet.epw, table.empty) + CELL_PADDING)
        sheet.rule(sheet.get_y())
    _totals(sheet, table.totals)
    sheet.set_y(sheet.get_y() + 5)


def _places(sheet: Sheet, columns: tuple[Column, ...]) -> list[tuple[float, float]]:
    """Left edge and width of each column."""
    usable = sheet.epw - GAP * (len(columns) - 1)
    unit = usable / sum(column.weight for column in columns)
    places, left = [], MARGIN
    for column in columns:
        places.append((left, column.weight * unit))
        left += column.weight * unit + GAP
    return places


def _column_titles(sheet: Sheet, columns: tuple[Column, ...], places: list[tuple[float, float]]) -> None:
    sheet.pen(7.5, strong=True, colour=QUIET)
    top = sheet.get_y()
    ends = [
        sheet.write_at(left, top + 1, width, column.title, column.align)
        for column, (left, width) in zip(columns, places, strict=True)
    ]
    sheet.set_y(max(ends) + 1.2)
    sheet.rule(sheet.get_y(), colour=INK, thickness=0.3)


def _row(sheet: Sheet, columns: tuple[Column, ...], places: list[tuple[float, float]], row: Row) -> None:
    first_width = places[0][1]
    sheet.pen(7.5, colour=QUIET)
    note = sheet.lines(row.note, first_width) if row.note else []
    note_height = len(note) * sheet.line_height
    sheet.pen(9)
    cells = [sheet.lines(cell, width) for cell, (_, width) in zip(row.cells, places, strict=True)]
    tall = [len(lines) * sheet.line_height for lines in cells]
    height = max(tall[0] + note_height, *tall) + 2 * CELL_PADDING
    if not sheet.room_for(height):
        sheet.add_page()
        _column_titles(sheet, columns, places)
        sheet.pen(9)
    top = sheet.get_y()
    for column, (left, width), lines in zip(columns, places, cells, strict=True):
        sheet.put(left, top + CELL_PADDING, width, lines, column.align)
    sheet.pen(7.5, colour=QUIET)
    sheet.put(places[0][0], top + CELL_PADDING + tall[0], first_width, note)
    sheet.set_y(top + height)
    sheet.rule(sheet.get_y())


def _totals(sheet: Sheet, totals: tuple[Total, ...]) -> None:
    if totals and not sheet.room_for(8 * len(totals)):
        sheet.add_page()
    width = sheet.epw * TOTALS_WIDTH
    left = sheet.w - MARGIN - width
    for total in totals:
        top = sheet.get_y() + 1.6
        if total.strong:
            sheet.set_draw_color(*BRAND)
            sheet.set_line_width(0.4)
            sheet.line(left, top, sheet.w - MARGIN, top)
            top += 1.2
        size = 11 if total.strong else 9
        sheet.pen(size, strong=total.strong, colour=INK if total.strong else QUIET)
        label_end = sheet.write_at(left, top, width * 0.6, total.label)
        sheet.pen(size, strong=total.strong)
        sheet.set_y(max(label_end, sheet.write_at(left + width * 0.6, top, width * 0.4, total.amount, Align.RIGHT)))


def _notes(sheet: Sheet, notes: tuple[str, ...]) -> None:
    sheet.pen(8, colour=QUIET)
    for note in notes:
        lines = sheet.lines(note, sheet.epw)
        if not sheet.room_for(len(lines) * sheet.line_height + 1.5):
            sheet.add_page()
            sheet.pen(8, colour=QUIET)
        sheet.set_y(sheet.put(MARGIN, sheet.get_y(), sheet.epw, lines) + 1.5)
