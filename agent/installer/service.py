"""The texts of the systemd unit, of the agent's options and of the command that people call."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from agent.installer.launch import FINAL_CODES
from agent.installer.layout import Layout

_UNIT = """# Made by the marketplace's installer, which replaces it: put changes into a drop-in (systemctl edit).
[Unit]
Description=Spotyard agent: rents out this machine's GPUs
Documentation={site}/help/
Wants=network-online.target docker.service
After=network-online.target docker.service
StartLimitIntervalSec=0

[Service]
Type=notify
# A version on trial runs below the launcher, which is the main process then.
NotifyAccess=all
ExecStart={python} -I {launcher}
Restart=always
RestartSec=5
# The marketplace does not know this machine (any more). Starting again would not change its mind.
RestartPreventExitStatus={final}
WatchdogSec=180
TimeoutStopSec=60
# The connection to the relay outlives the agent: clients' sessions go through it.
KillMode=process
OOMScoreAdjust=-500
UMask=0077
# The agent drives the container engine, loads firewall rules, and mounts guests' disks in a namespace of its own. All
# that it does not need is taken from it. ProtectSystem=strict, RestrictNamespaces and RestrictSUIDSGID would keep it
# from guests' disks, a closed device policy from the GPUs.
NoNewPrivileges=yes
PrivateTmp=yes
ProtectSystem=full
{protect_home}ProtectHostname=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_BOOT CAP_SYS_TIME
CapabilityBoundingSet=~CAP_SYS_PACCT CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_WAKE_ALARM CAP_BLOCK_SUSPEND
CapabilityBoundingSet=~CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_AUDIT_WRITE CAP_LINUX_IMMUTABLE CAP_LEASE
CapabilityBoundingSet=~CAP_IPC_LOCK CAP_SYS_TTY_CONFIG CAP_NET_BROADCAST
# Older versions of systemd do not know these, and leave out the line.
CapabilityBoundingSet=~CAP_BPF CAP_PERFMON CAP_CHECKPOINT_RESTORE
# Mounting and namespaces stay: they are how guests get their disks.
SystemCallFilter=~@clock @cpu-emulation @debug @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""

_COMMAND = """#!/bin/sh
# What the agent on this machine can be asked: spotyard-agent status | self-test | uninstall
set -eu
case "${{1:-status}}" in
    uninstall)
        shift
        PYTHONPATH={current}/spotyard-agent exec python3 -m agent.installer uninstall "$@" ;;
    -*) exec {current}/venv/bin/python -m agent @{config} "$@" ;;
    *)
        verb=${{1:-status}}
        [ $# -eq 0 ] || shift
        exec {current}/venv/bin/python -m agent "$verb" @{config} "$@" ;;
esac
"""

_CONFIG_HEAD = """# Options of the agent, one a line, as python -m agent --help lists them.
# After a change: systemctl restart spotyard-agent
"""


def unit(layout: Layout, site: str, python: str, engine_root: Path) -> str:
    """``python`` runs the launcher: an absolute path."""
    at_home = engine_root.parts[:2] in (("/", "home"), ("/", "root"))
    return _UNIT.format(
        site=site,
        python=python,
        launcher=layout.launcher,
        protect_home="" if at_home else "ProtectHome=yes\n",
        final=" ".join(map(str, FINAL_CODES)),
    )


def command(layout: Layout) -> str:
    return _COMMAND.format(current=layout.current, config=layout.config)


def config(options: Sequence[str]) -> str:
    """``options`` each as --name=value."""
    return _CONFIG_HEAD + "".join(f"{option}\n" for option in options)


def merged(text: str, options: Sequence[str]) -> str:
    """An existing file with these options in it: each in the place of that of its name, the rest stays as it is."""
    told = {option.partition("=")[0]: option for option in options}
    lines = [told.get(line.partition("=")[0].strip(), line) for line in text.splitlines()]
    return "\n".join([*lines, *(option for option in options if option not in lines)]) + "\n"
