"""Keeps guests away from the host itself, its local network and the cloud's metadata service.

One nftables table of the agent's own, beside Docker's rules and ahead of them; it only ever drops what guests send.
Published ports, answers, the host's nameservers and the internet stay open.
"""

import logging
import os
import shutil
import subprocess
import threading
from collections.abc import Collection
from ipaddress import ip_address

from agent.engine.nameservers import asked_by_the_engine
from agent.logs import say

_log = logging.getLogger(__name__)

TABLE = "spotyard"
_TIMEOUT_SECONDS = 20
_LOOK_SECONDS = 60.0
_PRIVATE_V4 = (
    "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, 172.16.0.0/12, 192.168.0.0/16, "
    "198.18.0.0/15, 224.0.0.0/4, 240.0.0.0/4"
)
_PRIVATE_V6 = "::1, fc00::/7, fe80::/10, ff00::/8"


def rules(prefix: str, nameservers: Collection[str] = ()) -> str:
    """The whole table for all bridges whose names begin so, in a form that replaces an older one in a single
    transaction. Guests may ask these nameservers, wherever they are, and no other port 53 that is not the internet's.
    """
    names = _ask(nameservers)
    return f"""table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
    chain guests_to_host {{
        type filter hook input priority filter - 10; policy accept;
        iifname != "{prefix}*" accept
        ct state established,related accept
        {names}
        drop
    }}
    chain guests_to_network {{
        type filter hook forward priority filter - 10; policy accept;
        iifname != "{prefix}*" accept
        ct state established,related accept
        oifname "{prefix}*" drop
        {names}
        ip daddr {{ {_PRIVATE_V4} }} drop
        ip6 daddr {{ {_PRIVATE_V6} }} drop
    }}
}}
"""


def _ask(nameservers: Collection[str]) -> str:
    """Rules that accept questions to these."""
    found = [ip_address(server) for server in nameservers]
    lines = []
    for family, version in (("ip", 4), ("ip6", 6)):
        if same := ", ".join(sorted(str(one) for one in found if one.version == version)):
            lines.append(f"{family} daddr {{ {same} }} meta l4proto {{ tcp, udp }} th dport 53 accept")
    return "; ".join(lines)


def load(prefix: str) -> str:
    """Put the rules for these bridges into the kernel; a sentence where that is not possible, which is logged too."""
    obstacle = obstacle_to_loading() or _feed(rules(prefix, asked_by_the_engine()))
    if obstacle:
        say(_log, "firewall_off", level=logging.WARNING, why=obstacle)
        return obstacle
    say(_log, "firewall_on", bridges=prefix)
    return ""


class Guard:
    """Loads the rules and keeps them loaded; ``problem`` says why they are not, empty while they are."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.problem = "The firewall that keeps guests from this host's network is not loaded yet."

    def load(self) -> None:
        self.problem = load(self._prefix)

    def keep(self, ending: threading.Event) -> None:
        """Look now and then, until ``ending``, and load the rules again where they are gone, changed by somebody, or
        the host asks other nameservers."""
        self.load()
        known, servers = _listing(), asked_by_the_engine()
        while not ending.wait(_LOOK_SECONDS):
            seen, asked = _listing(), asked_by_the_engine()
            if seen == known and seen and asked == servers:
                continue
            if seen != known or not seen:
                say(_log, "firewall_was_changed" if seen else "firewall_was_gone", level=logging.WARNING)
            self.load()
            known, servers = _listing(), asked


def is_loaded() -> bool:
    """Whether the table is there; it goes when somebody flushes all rules, as reloading nftables.service does."""
    return bool(_listing())


def _listing() -> str:
    """The rules as the kernel has them; empty where the table is not there."""
    done = _nft(["list", "table", "inet", TABLE])
    return done.stdout if isinstance(done, subprocess.CompletedProcess) and done.returncode == 0 else ""


def unload() -> None:
    """Take the rules out again."""
    _feed(f"table inet {TABLE}\ndelete table inet {TABLE}\n")


def obstacle_to_loading() -> str | None:
    """Why the rules can't be loaded and what follows from that; None where they can."""
    if os.geteuid() != 0:
        return "the agent does not run as root, so guests can reach this host's ports and local network"
    if shutil.which("nft") is None:
        return (
            "nft is not installed (apt-get install nftables), so guests can reach this host's ports and local network"
        )
    return None


def _feed(script: str) -> str | None:
    """What went wrong; None where nothing did."""
    done = _nft(["-f", "-"], script)
    if isinstance(done, str):
        return done
    return f"nft refused the rules: {done.stderr.strip()}" if done.returncode else None


def _nft(arguments: list[str], script: str = "") -> "subprocess.CompletedProcess[str] | str":
    """A sentence where it could not be run."""
    try:
        return subprocess.run(
            ["nft", *arguments], input=script, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"nft could not be run: {error}"
