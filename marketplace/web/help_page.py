"""The help page."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from billing.domain.money import MICROS_PER_DOLLAR
from billing.selectors import least_spend_limit_micros
from dlperf.catalogue import learned_model
from dlperf.domain.mixes import BALANCED, IMAGES, Mix
from dlperf.domain.possible import AGREE_WITHIN, BUS, CLOCKS, FASTER, MEMORY_CLOCKS
from hosting.domain.beta import HALF_LIFE
from hosting.domain.jobs import COMMAND_SECONDS, KEPT_FOR
from hosting.domain.reliability import (
    AVAILABILITY_PRIOR,
    CHECKS_PRIOR,
    LAUNCHES_PRIOR,
    NO_HISTORY,
    RENTED_LEAST,
    RENTED_WEIGHT,
)
from hosting.domain.requirements import MINIMUMS
from hosting.installer import careful_command, install_command
from marketplace.domain.auction import BPS, LEAST_FLOOR
from marketplace.domain.auto_order import SECONDS_WANTED, Asked, size_fit
from marketplace.domain.lifetimes import DISK_KEPT
from marketplace.domain.offers import HOURS_PER_MONTH
from marketplace.domain.retries import ATTEMPTS, FAILING_AT_LEAST, GIVEN_UP_IN_ROW, WAITS_SECONDS
from marketplace.gateways.webhooks import WHOLE_SECONDS
from marketplace.services.credit import HOURS_OF_CREDIT_NEEDED
from marketplace.services.webhooks import OLD_SECRET_SIGNS_FOR
from marketplace.web.help_gpus import gpu_health_help

SECONDS_PER_HOUR = 3_600
_SPELLED = {"fp32": "single precision", "fp16": "mixed precision"}


@require_GET
def help_page(request: HttpRequest) -> HttpResponse:
    """What the service does and how to use it; figures come from the code that keeps them."""
    context = {
        **_renting(),
        **_webhooks(),
        **_reliability(),
        **_dlperf(),
        **gpu_health_help(),
        "log_hours": KEPT_FOR.total_seconds() / SECONDS_PER_HOUR,
        "command_seconds": COMMAND_SECONDS,
        "minimums": MINIMUMS,
        "self_signed": settings.RELAY_TLS_SELF_SIGNED,
        "payout_minimum_micros": settings.PAYOUT_MINIMUM_MICROS,
        "platform_share_percent": 100 - settings.PLATFORM_HOST_SHARE_BPS // 100,
        "hours_per_month": HOURS_PER_MONTH,
        "hours_of_credit": HOURS_OF_CREDIT_NEEDED,
        "least_spend_limit_micros": least_spend_limit_micros(),
        "debt_grace_days": settings.DEBT_GRACE_DAYS,
        "debt_limit_micros": settings.DEBT_LIMIT_DOLLARS * MICROS_PER_DOLLAR,
        "install_command": install_command("TOKEN"),
        "careful_command": careful_command(),
    }
    return render(request, "marketplace/help.html", context)


def _renting() -> dict[str, object]:
    return {
        "increment_percent": settings.BID_INCREMENT_BPS * 100 / BPS,
        "least_floor_micros": LEAST_FLOOR,
        "grace_seconds": settings.DISPLACEMENT_GRACE_SECONDS,
        "disk_kept_hours": DISK_KEPT.total_seconds() / SECONDS_PER_HOUR,
    }


def _reliability() -> dict[str, object]:
    example = Asked(gpus=2)
    return {
        "half_life_days": HALF_LIFE.days,
        "rented_weight": RENTED_WEIGHT,
        "rented_least_hours": RENTED_LEAST.total_seconds() / SECONDS_PER_HOUR,
        "availability_prior": AVAILABILITY_PRIOR,
        "launches_prior": LAUNCHES_PRIOR,
        "checks_prior": CHECKS_PRIOR,
        "fresh": NO_HISTORY,
        "fit_example_percent": 100 * size_fit(8, example),
        "hours_wanted": SECONDS_WANTED / SECONDS_PER_HOUR,
    }


def _dlperf() -> dict[str, object]:
    error = learned_model().errors["balanced"]
    return {
        "dlperf_balanced": [(_share(weight), _SPELLED[name]) for name, weight in BALANCED.weights()],
        "dlperf_images": [(image.title, _spelled(image.mix)) for image in IMAGES.values()],
        "dlperf_most": {"products": CLOCKS, "memory": MEMORY_CLOCKS, "bus": BUS},
        "dlperf_faster": FASTER,
        "dlperf_agree": AGREE_WITHIN,
        "dlperf_error": error.median,
        "dlperf_error_largest": error.largest,
    }


def _spelled(mix: Mix) -> str:
    return ", ".join(f"{_share(weight)} {name.upper()}" for name, weight in mix.weights())


def _share(weight: float) -> str:
    return f"{weight:.0%}"


def _webhooks() -> dict[str, object]:
    return {
        "webhook_attempts": ATTEMPTS,
        "webhook_hours": sum(WAITS_SECONDS) / SECONDS_PER_HOUR,
        "webhook_seconds": WHOLE_SECONDS,
        "webhook_given_up": GIVEN_UP_IN_ROW,
        "webhook_failing_hours": FAILING_AT_LEAST.total_seconds() / SECONDS_PER_HOUR,
        "old_secret_hours": OLD_SECRET_SIGNS_FOR.total_seconds() / SECONDS_PER_HOUR,
    }
