"""How pages spell money, sizes and times, and the small pieces that they are made of."""

from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, RadioSelect, Select, Textarea
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()

MICROS_PER_DOLLAR = 1_000_000
MICROS_PER_CENT = 10_000


@register.simple_tag
def icon(name: str, css: str = "") -> SafeString:
    """An icon of the vendored sprite, in the colour of the text around it."""
    return format_html(
        '<svg class="icon {}" aria-hidden="true" fill="none" stroke="currentColor" stroke-width="1.75" '
        'stroke-linecap="round" stroke-linejoin="round"><use href="{}#{}"/></svg>',
        css,
        static("vendor/tabler-icons/sprite.svg"),
        name,
    )


@register.filter
def usd(micros: int) -> str:
    """Micro-dollars as dollars and cents, rounded down: nobody is shown a cent they don't have. -$0.01 is a debt."""
    cents = micros // MICROS_PER_CENT
    sign = "-" if cents < 0 else ""
    return f"{sign}${abs(cents) // 100:,}.{abs(cents) % 100:02d}"


@register.filter
def usd_exact(micros: int) -> str:
    """Micro-dollars as dollars with at least two and at most six decimals, none of them lost."""
    sign = "-" if micros < 0 else ""
    whole, rest = divmod(abs(micros), MICROS_PER_DOLLAR)
    return f"{sign}${whole:,}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


@register.filter
def usd_rate(micros_per_hour: int) -> str:
    """A price per hour in micro-dollars, as dollars to a tenth of a cent (finer below one cent), rounded up."""
    step = 1_000 if micros_per_hour >= MICROS_PER_CENT else 10
    rounded = -(-micros_per_hour // step) * step
    whole, rest = divmod(rounded, MICROS_PER_DOLLAR)
    return f"${whole:,}.{f'{rest:06d}'[: 3 if step == 1_000 else 5]}"


@register.filter
def gb(megabytes: float) -> str:
    """Megabytes as gigabytes: 24576 becomes "24 GB"."""
    size = megabytes / 1024
    return f"{size:.0f} GB" if size >= 10 or size == int(size) else f"{size:.1f} GB"


@register.filter
def gigabytes(amount: float) -> str:
    """Gigabytes, from 1000 on as terabytes: 2500 becomes "2.5 TB"."""
    return f"{amount / 1000:.1f} TB".replace(".0 TB", " TB") if amount >= 1000 else f"{amount:.0f} GB"


@register.filter
def mbps(amount: float) -> str:
    """Megabits per second, from 1000 on as gigabits."""
    return f"{amount / 1000:.1f} Gb/s".replace(".0 Gb", " Gb") if amount >= 1000 else f"{amount:.0f} Mb/s"


@register.filter
def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, rounded down so that 99.97 % is not shown as 100 %."""
    tenths = int(fraction * 1000 + 1e-9)
    return f"{tenths // 10}.{tenths % 10}%"


@register.filter
def spell_seconds(seconds: float | None) -> str:
    """A length of time in its two largest units: "3 d 4 h", "12 min 5 s"."""
    if seconds is None:
        return "–"
    total = max(0, int(seconds))
    days, hours, minutes = total // 86_400, total // 3_600 % 24, total // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {total % 60} s" if minutes else f"{total} s"


@register.filter
def until(moment: datetime) -> str:
    """How long it is from now until ``moment``, as ``spell_seconds`` says it."""
    return spell_seconds((moment - timezone.now()).total_seconds())


@register.filter
def epoch(moment: datetime) -> str:
    """Seconds since 1970, for numbers that tick in the browser."""
    return f"{moment.timestamp():.3f}"


@register.inclusion_tag("ui/field.html")
def field(bound: BoundField, **options: Any) -> dict[str, Any]:
    """A form field with its label, help and errors. Options: label, hint, prefix, suffix, optional, wrap."""
    widget = bound.field.widget
    errors = list(bound.errors)
    kind = _kind(widget)
    attrs = {"class": _css_class(kind, bad=bool(errors))}
    if errors:
        attrs |= {"aria-invalid": "true", "aria-describedby": f"{bound.auto_id}-error"}
    return {"field": bound, "errors": errors, "kind": kind, "control": bound.as_widget(attrs=attrs), **options}


def _kind(widget: Any) -> str:
    for kind, classes in (("radio", RadioSelect), ("checkbox", CheckboxInput), ("select", Select), ("textarea", Textarea)):
        if isinstance(widget, classes):
            return kind
    return "input"


def _css_class(kind: str, *, bad: bool) -> str:
    css = {"radio": "form-check-input", "checkbox": "form-check-input", "select": "form-select"}.get(kind, "form-control")
    return f"{css} is-invalid" if bad else css


@register.inclusion_tag("ui/copyable.html")
def copyable(text: str, label: str = "") -> dict[str, Any]:
    """A command or secret in a box with a button that copies it."""
    return {"text": text, "label": label}
