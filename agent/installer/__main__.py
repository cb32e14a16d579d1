"""``python3 -m agent.installer install|uninstall``: what install.sh runs out of the bundle it has fetched."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Sequence

from agent.installer import joining, manifest, tokens
from agent.installer.checks import Wishes, look
from agent.installer.layout import Layout
from agent.installer.removal import machine_id, remove
from agent.installer.steps import Setup, carry_out
from agent.installer.system import InstallError
from agent.installer.versions import Bundle
from agent.installer.words import say

_PASSED_ON = ("simulate", "ports", "public_address", "geolocation", "hostname", "disk_gb")
"""Options of ours that are the agent's: those that are not given stay as they are on a machine that is set up."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 done, 1 not done, 2 wrong options."""
    parsed = _parser().parse_args(arguments)
    layout = Layout()
    try:
        notes = manifest.load(layout.manifest)
        if parsed.command == "uninstall":
            remove(layout, notes, dry=parsed.dry_run, force=parsed.force)
            return 0
        return _install(parsed, layout, notes)
    except InstallError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1


def _install(parsed: argparse.Namespace, layout: Layout, notes: manifest.Manifest) -> int:
    known = _known_options(layout)
    simulate = parsed.simulate or known.get("simulate", "")
    ports = _range(parsed.ports or known.get("ports", "20000-20999"))
    say("Spotyard agent {}, for {}{}\n".format(parsed.version, parsed.site, ", dry run" if parsed.dry_run else ""))
    token, obstacle = ("", None) if parsed.dry_run else _token_or_obstacle(parsed, layout)
    if not _fit(Wishes(site=parsed.site, simulate=simulate, ports=ports), force=parsed.force) and not parsed.dry_run:
        if token:
            say("Then run this again, without the token, which is worth nothing any more: this machine keeps another.")
        return 1
    if obstacle is not None:
        raise obstacle
    say("")
    setup = Setup(
        site=parsed.site,
        layout=layout,
        manifest=notes,
        bundle=Bundle(parsed.bundle, parsed.version, parsed.digest),
        options=_options(parsed, layout),
        simulated=bool(simulate),
        token=token,
    )
    if not parsed.dry_run:
        _begin(setup, parsed.packages_before)
        joining.forget_status(layout)
    carry_out(setup, dry=parsed.dry_run)
    return 0 if parsed.dry_run else _finish(setup)


def _token_or_obstacle(parsed: argparse.Namespace, layout: Layout) -> tuple[str, InstallError | None]:
    """As ``_token``, but that the checks may say better why the marketplace can't be reached. Raises InstallError."""
    try:
        return _token(parsed, layout), None
    except tokens.AwayError as error:
        return "", error


def _token(parsed: argparse.Namespace, layout: Layout) -> str:
    """What the machine registers with; empty where it is, and nothing usable was given. Raises InstallError."""
    given = parsed.token_file.read_text().strip() if parsed.token_file else ""
    registered = machine_id(layout) != 0
    if registered and not given:
        return ""
    try:
        token = tokens.changed(parsed.site, layout, given) if given else tokens.kept(parsed.site, layout)
    except tokens.TokenRefusedError:
        tokens.forget(layout)
        if not registered:
            raise
        say("The token is not needed, as this machine is registered.\n")
        return ""
    if not token:
        raise InstallError(f"This machine is not registered yet: give an install token from {parsed.site}/host/setup/")
    return token


def _begin(setup: Setup, packages_before: Path | None) -> None:
    """What an earlier run, or install.sh itself, brought is noted first."""
    if packages_before is not None and setup.manifest.before is None:
        setup.manifest.before = manifest.parse_packages(packages_before.read_text())
    setup.manifest.settle()
    setup.manifest.save()


def _finish(setup: Setup) -> int:
    say("--> wait until the marketplace knows this machine")
    joined = joining.wait_until_joined(setup.layout, setup.bundle.version)
    joining.self_test(setup.layout)
    say(f"\nThis is machine {joined.machine_id}: {setup.site}/host/machines/{joined.machine_id}/")
    say("Set its prices there, and it is on the market. Here, spotyard-agent status says how it is.")
    return 0


def _fit(wishes: Wishes, *, force: bool) -> bool:
    found = list(look(wishes))
    for check in found:
        say(str(check))
    stopping = sum(check.stops for check in found)
    if not stopping:
        return True
    say("\n{} to put right{}.".format(stopping, "; --force: it goes on all the same" if force else " first"))
    return force


def _options(parsed: argparse.Namespace, layout: Layout) -> tuple[str, ...]:
    told = [f"--server={parsed.site}", f"--state-dir={layout.var}"]
    told.append("--log-file={}".format(layout.log / "agent.log"))
    for name in _PASSED_ON:
        value = getattr(parsed, name)
        if value is not None:
            told.append("--{}={}".format(name.replace("_", "-"), value))
    return (*told, *(["--no-firewall"] if parsed.no_firewall else []))


def _known_options(layout: Layout) -> dict[str, str]:
    """What the agent of this machine is started with by now."""
    try:
        lines = layout.config.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.strip()[2:].partition("=") for line in lines if line.strip().startswith("--"))
    return {name: value for name, _, value in pairs}


def _range(text: str) -> tuple[int, int]:
    found = re.match(r"^(\d{4,5})-(\d{4,5})$", text)
    if not found or not 1024 <= int(found.group(1)) <= int(found.group(2)) <= 65535:
        raise InstallError(f"“{text}” is no range of ports; write for example 20000-20999.")
    return int(found.group(1)), int(found.group(2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="install.sh", description="Makes this machine a host, or takes that back.")
    add = parser.add_argument
    add("command", choices=["install", "uninstall"])
    add("--dry-run", action="store_true", help="look and tell, change nothing")
    add(
        "--force",
        action="store_true",
        help="install in spite of failed checks; uninstall in spite of clients' containers",
    )
    add("--simulate", metavar='"2x RTX 3090"', help="pretend to have these GPUs; offers say so")
    add("--ports", metavar="FIRST-LAST", help="ports for guests (20000-20999)")
    add("--public-address", metavar="A", help="address under which clients reach those ports")
    add("--geolocation", metavar='"Oslo, NO"', help="city and country code")
    add("--hostname", metavar="NAME", help="name to show")
    add("--disk-gb", metavar="N", help="disk space for guests")
    add("--no-firewall", action="store_true", help="load no rules that keep guests from this host's network")
    for name in ("--site", "--version", "--digest"):
        add(name, default="", help=argparse.SUPPRESS)
    for name in ("--bundle", "--token-file", "--packages-before"):
        add(name, type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
