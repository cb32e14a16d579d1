"""A host behind a router that translates addresses, and a client somewhere else, as network namespaces.

    host (10.N.1.2) -- router (10.N.1.1, outside 10.N.2.2) -- this machine (10.N.2.1, 10.N.3.1) -- client (10.N.3.2)

This machine is the internet, with the servers on its loopback address. The host's containers are really run by this
machine's engine: what the host connects to on its own loopback address is led there. N is one that nothing else here
uses: of two routes to one network, answers would take the wrong one.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.plumbing.claims import claim

PLACES = ("host", "router", "client")
_PUBLISHED = "22000-31999"
"""Where tests' agents publish ports (tests/plumbing/ports.py)."""


class Nat:
    """``host`` and ``client`` are what to put before a command for it to run there."""

    def __init__(self) -> None:
        number = next(number for number in range(100, 200) if claim(f"nat-{number}") and is_free(number))
        self._number = number
        self._net = f"10.{number}"
        self._names = {place: _name_of(number, place) for place in PLACES}
        self._table = f"sy{number}"
        self.host = ("ip", "netns", "exec", self._names["host"])
        self.client = ("ip", "netns", "exec", self._names["client"])
        self.internet = f"{self._net}.2.1"
        """This machine, as host and client see it."""
        self.client_line = f"{self._table}c"
        """This machine's end of the client's line."""
        self.router_outside = f"{self._net}.2.2"
        """What the world sees of the host."""

    @staticmethod
    def obstacle() -> str:
        """Why this can't be made here; empty where it can."""
        missing = [program for program in ("ip", "nft") if shutil.which(program) is None]
        if os.geteuid() != 0 or missing:
            return f"network namespaces need root, ip and nft (missing: {missing or 'root'})"
        return ""

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            _remove(self._number)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _remove(self._number)

    def lead_to_loopback(self, ports: str) -> None:
        """From the outside, these ports ("8000, 9000-9010") of this machine are those of its loopback address."""
        rule = f"ip daddr {self.internet} tcp dport {{ {ports} }} dnat to 127.0.0.1"
        _run("nft", "add", "rule", "ip", self._table, "prerouting", *rule.split())

    def forward_ports(self, ports: str) -> None:
        """What a host does in its router: these ports lead to the host."""
        rule = f"iifname outside tcp dport {ports} dnat to {self._net}.1.2"
        _run(*self._at("router"), "nft", "add", "rule", "ip", "nat", "prerouting", *rule.split())

    def _at(self, place: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self._names[place])

    def _make(self) -> None:
        for name in self._names.values():
            _run("ip", "netns", "add", name)
        inside, outside, client = (f"{self._net}.{number}" for number in (1, 2, 3))
        self._link(("router", "inside", f"{inside}.1"), ("host", "line", f"{inside}.2"))
        self._link(("", f"{self._table}r", f"{outside}.1"), ("router", "outside", f"{outside}.2"))
        self._link(("", f"{self._table}c", f"{client}.1"), ("client", "line", f"{client}.2"))
        for place, gateway in (("host", f"{inside}.1"), ("router", f"{outside}.1"), ("client", f"{client}.1")):
            _run(*self._at(place), "ip", "route", "add", "default", "via", gateway)
        _run(*self._at("router"), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        _run(*self._at("host"), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
        for line in (f"{self._table}r", f"{self._table}c"):
            Path(f"/proc/sys/net/ipv4/conf/{line}/route_localnet").write_text("1")
        self._rules()

    def _link(self, one: tuple[str, str, str], other: tuple[str, str, str]) -> None:
        """A cable between two ends, each (place, name, address); no place is this machine."""
        scratch = [f"{self._table}x", f"{self._table}y"]
        _run("ip", "link", "add", scratch[0], "type", "veth", "peer", "name", scratch[1])
        for made, (place, name, address) in zip(scratch, (one, other), strict=True):
            at = self._at(place) if place else ()
            if place:
                _run("ip", "link", "set", made, "netns", self._names[place])
            _run(*at, "ip", "link", "set", made, "name", name)
            _run(*at, "ip", "address", "add", f"{address}/24", "dev", name)
            _run(*at, "ip", "link", "set", name, "up")
            if place:
                _run(*at, "ip", "link", "set", "lo", "up")

    def _rules(self) -> None:
        _run("nft", "-f", "-", feed=_table(self._table, prerouting=""))
        router = _table("nat", prerouting="", postrouting='oifname "outside" masquerade')
        _run(*self._at("router"), "nft", "-f", "-", feed=router)
        host = _table(
            "nat",
            output=f"ip daddr 127.0.0.1 tcp dport {_PUBLISHED} dnat to {self.internet}",
            postrouting='oifname "line" ip saddr 127.0.0.1 masquerade',
        )
        _run(*self._at("host"), "nft", "-f", "-", feed=host)


def is_free(number: int) -> bool:
    """Whether this machine has no network there, after what a killed run left is removed. Ours by claim."""
    _remove(number)
    return re.search(rf"\b10\.{number}\.", _run("ip", "route")) is None


def _remove(number: int) -> None:
    for place in PLACES:
        subprocess.run(["ip", "netns", "delete", _name_of(number, place)], capture_output=True, check=False)
    subprocess.run(["nft", "delete", "table", "ip", f"sy{number}"], capture_output=True, check=False)
    for line in "rcxy":  # gone with the other end, unless that was never moved
        subprocess.run(["ip", "link", "delete", f"sy{number}{line}"], capture_output=True, check=False)


def _name_of(number: int, place: str) -> str:
    return f"sy{number}-{place}"


def _run(*command: str, feed: str | None = None) -> str:
    done = subprocess.run(command, input=feed, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, feed, done.stderr)
    return done.stdout


def _table(name: str, **rules: str) -> str:
    """A table for translating addresses, with one rule at most in each chain."""
    priorities = {"prerouting": "dstnat", "output": "-100", "postrouting": "srcnat"}
    chains = (
        f"chain {hook} {{\ntype nat hook {hook} priority {priorities[hook]}; policy accept;\n{rule}\n}}"
        for hook, rule in rules.items()
    )
    return "\n".join([f"table ip {name} {{", *chains, "}\n"])
