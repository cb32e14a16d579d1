"""How pages spell money, sizes and times, and the small pieces that they are made of."""

import re
import shlex
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import template
from django.forms import BoundField, CheckboxInput, RadioSelect, Select, Textarea
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billing.domain.money import MICROS_PER_DOLLAR, exact_dollars, format_dollars
from hosting.domain.gpu_health import xid_words
from hosting.domain.sandboxes import TITLES

register = template.Library()
register.filter("xid_words", xid_words)

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
    """Micro-dollars as dollars and cents: "$12.50"; a debt is "-$12.50"."""
    return _with_dollar_sign(format_dollars(micros))


@register.filter
def usd_exact(micros: int) -> str:
    """Micro-dollars as dollars with every digit that counts and at least two decimals."""
    return _with_dollar_sign(exact_dollars(micros))


@register.filter
def usd_fine(micros: int) -> str:
    """Micro-dollars as dollars with four decimals, for amounts that are often below a cent."""
    return _with_dollar_sign(format_dollars(micros, 4))


def _with_dollar_sign(amount: str) -> str:
    return f"-${amount[1:]}" if amount.startswith("-") else f"${amount}"


@register.filter
def usd_rate(micros_per_hour: int) -> str:
    """A price per hour in micro-dollars, as dollars to a tenth of a cent (finer below one cent), rounded up."""
    if micros_per_hour == 0:
        return "$0.00"
    step = 1_000 if micros_per_hour >= MICROS_PER_CENT else 10
    rounded = -(-micros_per_hour // step) * step
    whole, rest = divmod(rounded, MICROS_PER_DOLLAR)
    return f"${whole:,}.{f'{rest:06d}'[: 3 if step == 1_000 else 5]}"


@register.filter
def per_gpu(micros: int, num_gpus: int) -> int:
    """One GPU's part of a price in micro-dollars, rounded up: that many times it is never below the price."""
    return -(-micros // max(num_gpus, 1))


@register.filter
def gb(megabytes: float | None) -> str:
    """Megabytes as gigabytes: 24576 becomes "24 GB"; a dash where it is not known."""
    if megabytes is None:
        return "\N{EN DASH}"
    size = megabytes / 1024
    return f"{size:.0f} GB" if size >= 10 or size == int(size) else f"{size:.1f} GB"


@register.filter
def gigabytes(amount: float | None) -> str:
    """Gigabytes, from 1000 on as terabytes: 2500 becomes "2.5 TB"; a dash where it is not known."""
    if amount is None:
        return "\N{EN DASH}"
    return f"{amount / 1000:.1f} TB".replace(".0 TB", " TB") if amount >= 1000 else f"{amount:.0f} GB"


@register.filter
def sandbox_title(name: str) -> str:
    """What people call a sandbox: "gvisor" is gVisor."""
    return TITLES.get(name, name)


@register.filter
def mbps(amount: float) -> str:
    """Megabits per second, from 1000 on as gigabits."""
    return f"{amount / 1000:.1f} Gb/s".replace(".0 Gb", " Gb") if amount >= 1000 else f"{amount:.0f} Mb/s"


@register.filter
def rate(bytes_per_second: float | None) -> str:
    """Bytes a second as people write them: 1500000.0 becomes "1.5 MB/s"; a dash where it is not known."""
    if bytes_per_second is None:
        return "\N{EN DASH}"
    for unit, size in (("GB/s", 1e9), ("MB/s", 1e6)):
        if bytes_per_second >= size:
            return f"{figure(bytes_per_second / size)} {unit}"
    return f"{figure(bytes_per_second / 1e3)} kB/s"


@register.filter
def figure(amount: float) -> str:
    """A measured number with as many decimals as it deserves: 98.6 as "99", 3.14159 as "3.1"."""
    return f"{amount:.0f}" if abs(amount) >= 10 or amount == 0 else f"{amount:.1f}"


@register.filter
def spelled_period(code: str) -> str:
    """The period of a chart: "24h" becomes "24 hours"."""
    number, unit = int(code[:-1]), {"h": "hour", "d": "day"}[code[-1]]
    return f"{number} {unit}{'' if number == 1 else 's'}"


@register.filter
def percent(fraction: float) -> str:
    """A fraction as a percentage with one decimal, rounded down so that 99.97 % is not shown as 100 %."""
    tenths = int(fraction * 1000 + 1e-9)
    return f"{tenths // 10}.{tenths % 10}%"


@register.filter
def dlperf(score: float) -> str:
    """A score with one decimal, or as many as tell a small one from nothing."""
    return f"{score:.1f}" if score >= 1 else f"{score:.3g}"


@register.filter
def percent_change(fraction: float) -> str:
    """A change as a signed percentage, "+3%" or "-12%"; no sign for none."""
    whole = round(fraction * 100)
    return f"{whole:+d}%" if whole else "0%"


@register.filter
def spell_seconds(seconds: float | None) -> str:
    """A length of time in its two largest units: "3 d 4 h", "12 min 5 s"."""
    if seconds is None:
        return "\N{EN DASH}"
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
def countdown(moment: datetime) -> str:
    """The time from now until ``moment`` to the second: "89 d 21:54:59"; nothing is left once it is over."""
    total = max(0, int((moment - timezone.now()).total_seconds()))
    days, rest = divmod(total, 86_400)
    clock = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days} d {clock}" if days else clock


@register.filter
def since(moment: datetime) -> str:
    """How long it is since ``moment``, as ``spell_seconds`` says it."""
    return spell_seconds((timezone.now() - moment).total_seconds())


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
    attrs: dict[str, str | bool] = {"class": _css_class(kind, bad=bool(errors))}
    if errors:
        attrs |= {"aria-invalid": "true", "aria-describedby": f"{bound.auto_id}-error"}
    return {
        "field": bound,
        "errors": errors,
        "kind": kind,
        "control": bound.as_widget(attrs=attrs),
        **options,
    }


def _kind(widget: Any) -> str:
    for kind, classes in (
        ("radio", RadioSelect),
        ("checkbox", CheckboxInput),
        ("select", Select),
        ("textarea", Textarea),
    ):
        if isinstance(widget, classes):
            return kind
    return "input"


def _css_class(kind: str, *, bad: bool) -> str:
    css = {"radio": "form-check-input", "checkbox": "form-check-input", "select": "form-select"}.get(
        kind, "form-control"
    )
    return f"{css} is-invalid" if bad else css


@register.inclusion_tag("ui/copyable.html")
def copyable(text: str, label: str = "", which: str = "") -> dict[str, Any]:
    """A command or secret in a box with a button that copies it. ``which`` tells boxes of one label apart for those
    who hear the button's name."""
    return {"text": text, "label": label, "which": which}


@register.filter
def reference(text: str) -> str:
    """A meter's reference as words: "instance:12:gpu" becomes "Instance 12, GPU"."""
    thing, _, rest = text.partition(":")
    number, _, use = rest.partition(":")
    spelled = {"gpu": "GPU", "up": "traffic up", "down": "traffic down"}.get(use, use)
    return f"{thing.capitalize()} {number}" + (f", {spelled}" if spelled else "")


@register.filter
def words(code: str) -> str:
    """A machine-readable code as words: "went_offline" becomes "Went offline", "gpu" "GPU"."""
    return re.sub(r"\bgpu\b", "GPU", code.replace("_", " ").capitalize(), flags=re.IGNORECASE)


@register.filter
def command_line(args: Iterable[str]) -> str:
    """The words of a command as one would type them in a shell."""
    return shlex.join(args)


@register.inclusion_tag("ui/occupancy.html")
def occupancy(used: int, total: int) -> dict[str, Any]:
    """A small square for each GPU of a machine, lit for those in use."""
    return {"used": used, "total": total, "squares": [index < used for index in range(total)]}


@register.filter
def dollars(amount: float) -> str:
    """Dollars per hour as the API gives them, to a tenth of a cent, finer below one cent."""
    return usd_rate(round(amount * MICROS_PER_DOLLAR))


@register.filter
def ram_share(offer: dict[str, Any]) -> float:
    """The megabytes of RAM that come with an offer: its part of the machine's."""
    return float(offer["cpu_ram"] * offer["gpu_frac"])
