"""Text that a font can show: nothing in it may make a document fail or go missing from it."""

import unicodedata
from collections.abc import Container
from functools import partial

from anyascii import anyascii


def showable(text: str, glyphs: Container[int]) -> str:
    """``text`` in the characters that have glyphs: others in Latin letters, or as "U+1F6A9" where none are known.

    Line breaks and other control characters become spaces.
    """
    composed = unicodedata.normalize("NFC", text)
    return "".join(map(partial(_character, glyphs=glyphs), composed))


def _character(character: str, glyphs: Container[int]) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    if category == "Cf":
        return ""
    if ord(character) in glyphs:
        return character
    if category in ("Mn", "Me"):
        return ""
    return _latin(character)


def _latin(character: str) -> str:
    latin = anyascii(character)
    if not latin.strip():
        return " " if character.isspace() else f"U+{ord(character):04X}"
    # Ideographs are syllables; capitals keep them apart: 王小明 reads WangXiaoMing.
    return latin
