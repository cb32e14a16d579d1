"""What a host should know about a machine at a glance, the gravest first."""

from dataclasses import dataclass
from datetime import datetime, timedelta

BAD = "bad"
WARN = "warn"
ENDS_SOON = timedelta(days=3)
FULL_PERCENT = 90.0


@dataclass(frozen=True)
class Alert:
    """``part`` is the place on the machine's page that says more, "" for its top."""

    level: str
    text: str
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class AlertFacts:
    """What the alerts are judged by; ``listed_until`` is None for a machine that is not listed."""

    online: bool
    last_seen_at: datetime | None = None
    suspended: bool = False
    engine_error: str = ""
    unhealthy_gpus: int = 0
    case_open: bool = False
    open_reports: int = 0
    sandbox_problem: str = ""
    slower_than_usual: bool = False
    implausible: bool = False
    disk_used_percent: float | None = None
    failed_agent_version: str = ""
    listed_until: datetime | None = None


def alerts(facts: AlertFacts, now: datetime) -> list[Alert]:
    """Everything that wants the host's attention."""
    found = [
        (facts.suspended, Alert(BAD, "Suspended by the marketplace")),
        (not facts.online, Alert(BAD, _silent(facts))),
        (facts.online and bool(facts.engine_error), Alert(BAD, "Its container engine does not work")),
        (facts.case_open, Alert(BAD, "It failed its verification", "verification")),
        (facts.implausible, Alert(BAD, "Its last benchmark is not believed", "benchmarks")),
        (facts.unhealthy_gpus > 0, Alert(BAD, f"{_counted(facts.unhealthy_gpus, 'GPU')} off the market")),
        (
            bool(facts.sandbox_problem),
            Alert(BAD, "Off the market: its sandbox can't be used", "system"),
        ),
        (facts.open_reports > 0, Alert(WARN, f"{_counted(facts.open_reports, 'report')} by clients", "reports")),
        (facts.slower_than_usual, Alert(WARN, "Slower than usual in its last benchmark", "benchmarks")),
        (
            bool(facts.failed_agent_version),
            Alert(WARN, f"Version {facts.failed_agent_version} of the agent failed here"),
        ),
        (_is_full(facts), Alert(WARN, f"Its disk is {facts.disk_used_percent or 0:.0f}% full")),
        (_ends_soon(facts, now), Alert(WARN, _end(facts))),
    ]
    return [alert for is_so, alert in found if is_so]


def _is_full(facts: AlertFacts) -> bool:
    return facts.online and facts.disk_used_percent is not None and facts.disk_used_percent >= FULL_PERCENT


def _silent(facts: AlertFacts) -> str:
    return f"Not heard since {facts.last_seen_at:%Y-%m-%d %H:%M} UTC" if facts.last_seen_at else "Never heard"


def _ends_soon(facts: AlertFacts, now: datetime) -> bool:
    return facts.listed_until is not None and now < facts.listed_until <= now + ENDS_SOON


def _end(facts: AlertFacts) -> str:
    return f"Its listing ends at {facts.listed_until:%Y-%m-%d %H:%M} UTC" if facts.listed_until else ""


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'s' if number > 1 else ''}"
