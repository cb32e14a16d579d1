"""The paper: an A4 page with our fonts, colours, letterhead and footer, and text that cannot fail."""

from pathlib import Path

from fpdf import FPDF, XPos, YPos
from fpdf.fonts import TTFFont

from billing.pdf.document import Align, Document
from billing.pdf.text import showable

FONTS = Path(__file__).resolve().parent / "fonts"
FAMILY = "noto"
STYLES = {"": "NotoSans-Regular.ttf", "B": "NotoSans-Bold.ttf"}
MARGIN = 18.0
BOTTOM = 22.0
LINE = 1.36
"""Height of a line relative to the size of its letters."""
MM_PER_POINT = 25.4 / 72
MAX_LINES = 30
"""More would not fit on a page together; only text that is no name and no sentence is that long."""
NO_TEXT = "\ue000"
"""A character that ``clean`` leaves in no text."""
PAGES_COUNT = NO_TEXT * 2
"""Stands for the number of pages until it is known, as wide as two digits."""

Colour = tuple[int, int, int]
INK: Colour = (22, 26, 38)
QUIET: Colour = (95, 102, 115)
RULE: Colour = (222, 226, 235)
SUNKEN: Colour = (245, 246, 250)
BRAND: Colour = (59, 79, 216)
BRAND_PALE: Colour = (162, 172, 236)
SPOT: Colour = (255, 201, 77)


class Sheet(FPDF):
    """A document being drawn. Lengths are millimetres, sizes of letters points."""

    def __init__(self, document: Document) -> None:
        super().__init__(orientation="portrait", unit="mm", format="A4")
        self.document = document
        self._glyphs: dict[str, frozenset[int]] = {}
        for style, name in STYLES.items():
            self.add_font(FAMILY, style, FONTS / name)
            font = self.fonts[FAMILY + style]
            if isinstance(font, TTFFont):
                self._glyphs[style] = frozenset(font.cmap) - {ord(NO_TEXT)}
        self.alias_nb_pages(PAGES_COUNT)
        self.set_margins(MARGIN, MARGIN, MARGIN)
        self.c_margin = 0.0
        self.set_auto_page_break(True, BOTTOM)
        self.set_creation_date(document.created_at)
        self.set_title(document.title)
        self.set_author(document.letterhead.site_name)
        self.set_lang("en")
        self.add_page()

    def pen(self, size: float, *, strong: bool = False, colour: Colour = INK) -> None:
        """Choose letters for what is written next."""
        self.set_font(FAMILY, "B" if strong else "", size)
        self.set_text_color(*colour)

    def clean(self, text: str) -> str:
        """``text`` as the present letters can show it."""
        return showable(text, self._glyphs[self.font_style])

    def lines(self, text: str, width: float) -> list[str]:
        """``text`` broken into lines of at most ``width``; words too long for one are broken too."""
        cleaned = self.clean(text)
        # Most texts fit. Finding that out costs a tenth of looking for places to break.
        if self.get_string_width(cleaned) < width:
            return [cleaned]
        broken = self.multi_cell(width, self.line_height, cleaned, align="L", dry_run=True, output="LINES", padding=0)
        lines = [str(line) for line in broken] if isinstance(broken, list) else []
        return lines if len(lines) <= MAX_LINES else [*lines[: MAX_LINES - 1], "…"]

    @property
    def line_height(self) -> float:
        return float(self.font_size_pt) * MM_PER_POINT * LINE

    def put(self, left: float, top: float, width: float, lines: list[str], align: Align = Align.LEFT) -> float:
        """Write ``lines`` below one another; returns where they end."""
        for line in lines:
            self.set_xy(left, top)
            self.cell(width, self.line_height, line, align=align, new_x=XPos.LEFT, new_y=YPos.TOP)
            top += self.line_height
        return top

    def write_at(self, left: float, top: float, width: float, text: str, align: Align = Align.LEFT) -> float:
        """Write ``text``, broken as needed; returns where it ends."""
        return self.put(left, top, width, self.lines(text, width), align)

    def rule(self, top: float, *, colour: Colour = RULE, thickness: float = 0.2) -> None:
        """A line across the page."""
        self.set_draw_color(*colour)
        self.set_line_width(thickness)
        self.line(MARGIN, top, self.w - MARGIN, top)

    def room_for(self, height: float) -> bool:
        """Whether ``height`` more fits on this page."""
        return bool(self.get_y() + height <= self.h - BOTTOM)

    def header(self) -> None:
        """The letterhead on the first page, a line that tells what this is on the others."""
        if self.page_no() == 1:
            self._letterhead()
            return
        self.pen(8, colour=QUIET)
        place = (self.epw - 4) / 2
        name = f"{self.document.letterhead.site_name} · {self.document.title}"
        self.put(MARGIN, 11, place, self.lines(name, place)[:1])
        self.put(self.w - MARGIN - place, 11, place, self.lines(self.document.subtitle, place)[:1], Align.RIGHT)
        self.rule(17)
        self.set_y(22)

    def footer(self) -> None:
        top = self.h - 15
        self.rule(top)
        self.pen(7.5, colour=QUIET)
        place = self.epw - 40
        said = (self.document.letterhead.site_address, self.document.footer)
        self.put(MARGIN, top + 2, place, self.lines(" · ".join(filter(None, said)), place)[:1])
        self.put(self.w - MARGIN - 40, top + 2, 40, [f"Page {self.page_no()} of {PAGES_COUNT}"], Align.RIGHT)

    def _letterhead(self) -> None:
        head = self.document.letterhead
        _mark(self, MARGIN, MARGIN)
        self.pen(15, strong=True)
        self.put(MARGIN + 14, MARGIN + 0.2, 80, self.lines(head.site_name, 80)[:1])
        self.pen(8, colour=QUIET)
        self.put(MARGIN + 14, MARGIN + 6.6, 80, self.lines(head.site_address, 80)[:1])
        self.set_y(MARGIN + 20)


def _mark(sheet: Sheet, left: float, top: float) -> None:
    """The logo of 11 mm: four places in a yard, one of them lit."""
    unit = 11 / 32
    sheet.set_fill_color(*BRAND)
    sheet.rect(left, top, 11, 11, style="F", round_corners=True, corner_radius=8 * unit)
    places = ((7, 7, BRAND_PALE), (17, 17, BRAND_PALE), (7, 17, BRAND_PALE), (17, 7, SPOT))
    for x, y, colour in places:
        sheet.set_fill_color(*colour)
        corner = 2.2 * unit
        sheet.rect(
            left + x * unit, top + y * unit, 8 * unit, 8 * unit, style="F", round_corners=True, corner_radius=corner
        )
