"""What the help page says of GPUs that leave the market; taken from the rules themselves."""

from datetime import timedelta

from hosting.domain.gpu_health import HARDWARE_XIDS, RULES, Rule


def gpu_health_help() -> dict[str, object]:
    """For the section's template."""
    rules = [
        {"what": _ended(rule.sentence) + _lasting(rule), "remedy": rule.remedy, "back": _back(rule)}
        for rule in RULES.values()
    ]
    return {"gpu_rules": rules, "hardware_xids": sorted(HARDWARE_XIDS.items())}


def _ended(sentence: str) -> str:
    return sentence if sentence.endswith(".") else f"{sentence}."


def _lasting(rule: Rule) -> str:
    return f" For {_spelled(rule.holds)} or longer." if rule.holds and "minutes" not in rule.sentence else ""


def _back(rule: Rule) -> str:
    if rule.until_boot:
        return f"{_spelled(rule.gone)} after the machine has booted anew, if nothing is wrong then"
    return f"once nothing has been wrong for {_spelled(rule.gone)}"


def _spelled(time: timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
