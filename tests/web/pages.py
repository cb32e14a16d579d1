"""Reading pages in tests."""

import re
from html import unescape
from typing import Any

HTMX = {"HX-Request": "true"}


def text(response: Any) -> str:
    """What a reader sees: no tags, entities resolved, one space between words."""
    html = re.sub(r"<(script|style|template)\b.*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def field_errors(response: Any, name: str) -> str:
    """What stands beside the field ``name``; empty when nothing does."""
    html = response.content.decode()
    found = re.search(rf'id="(?:id_{name}-error|error-{name})"[^>]*>(.*?)</div>\s*(?:</div>|$|<)', html, re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[1])).split()) if found else ""
