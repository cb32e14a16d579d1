"""What DLPerf is to stand for in a search: a precision, or what an image usually runs."""

from dlperf.domain.mixes import PRECISIONS, Adaptation, image_family
from marketplace.domain.query_fields import invalid, shown, suggestion
from marketplace.domain.query_values import is_wildcard

BALANCED = "balanced"
MOST_IMAGE_CHARS = 300
_OTHER_NAMES = {
    "tf32": "fp32",
    "float32": "fp32",
    "half": "fp16",
    "mixed": "fp16",
    "float16": "fp16",
    "bfloat16": "bf16",
}


def adaptation(precision: object, image: object) -> Adaptation:
    """From the values of ``dlperf_precision`` and ``dlperf_image``. Raises MarketError(invalid_query).

    None, "" and "any" ask for nothing, as does "balanced". An image that says nothing about how it computes leaves
    DLPerf balanced; the offers tell what it was adapted to.
    """
    return Adaptation(_precision(_text(precision, "dlperf_precision")), _family(_text(image, "dlperf_image")))


def _precision(text: str) -> str:
    name = _OTHER_NAMES.get(text, text)
    if name and name not in PRECISIONS:
        hint = suggestion(name, PRECISIONS)
        known = ", ".join((BALANCED, *PRECISIONS))
        raise invalid(f"dlperf_precision must be one of {known}, not {shown(text)}.{hint}", "dlperf_precision")
    return name


def _family(text: str) -> str:
    if len(text) > MOST_IMAGE_CHARS:
        raise invalid(f"dlperf_image: an image's name has at most {MOST_IMAGE_CHARS} characters.", "dlperf_image")
    return image_family(text) or ""


def _text(value: object, name: str) -> str:
    """The value in lower case; as for fields, it may be given as ``{"eq": value}``."""
    if isinstance(value, dict) and set(value) == {"eq"}:
        value = value["eq"]
    if value is None or is_wildcard(value):
        return ""
    if not isinstance(value, str):
        raise invalid(f"{name} is a text, not {shown(value)}.", name)
    text = value.strip().lower()
    return "" if text == BALANCED else text
