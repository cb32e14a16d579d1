"""The command line: registration, refusals, what stays on the disk, and the fleet. No engine is needed here."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import ErrorReply
from tests.agent.marketplace import TOKEN, Marketplace
from tests.agent.program import NO_ENGINE, end, run, running

SIMULATE = ("--simulate", "2x rtx 3090", "--no-firewall")


@pytest.fixture
def market() -> Iterator[Marketplace]:
    with Marketplace() as started:
        yield started


def test_registers_once_and_needs_no_token_later(market: Marketplace, tmp_path: Path) -> None:
    state = tmp_path / "state"
    options = ("--server", market.url, "--state-dir", state, *SIMULATE)
    with running(*options, environment=NO_ENGINE | {"SPOTYARD_TOKEN": TOKEN}) as first:
        market.await_that(lambda: len(market.syncs) >= 1)
        code, output = end(first)
    assert code == 0, output
    assert TOKEN not in output
    (credential,) = market.credentials
    assert credential not in output
    with running(*options, environment=NO_ENGINE) as second:
        market.await_that(lambda: len({sync.session_id for sync in market.syncs}) == 2)
        assert end(second)[0] == 0
    assert len(market.registrations) == 1
    request = market.registrations[0]
    assert [gpu.model for gpu in request.inventory.gpus] == ["RTX 3090"] * 2
    assert {sync.boot_id for sync in market.syncs} == {request.boot_id}
    assert market.syncs[0].engine_error == "The container engine is not running or can't be reached."
    assert stat.S_IMODE((state / "state.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert (state / "owner").read_text() == f"7-{request.boot_id[:8]}\n"


def test_registration_whose_reply_was_lost_is_the_same_machine(market: Marketplace, tmp_path: Path) -> None:
    market.faults.extend(["lose_reply", "lose_reply", "server_error"])
    token_file = tmp_path / "token"
    token_file.write_text(f"{TOKEN}\n")
    options = ("--server", market.url, "--state-dir", tmp_path / "s", "--token-file", token_file, *SIMULATE)
    with running(*options, environment=NO_ENGINE) as process:
        market.await_that(lambda: len(market.syncs) >= 1)
        assert end(process)[0] == 0
    assert len(market.registrations) == 4
    assert len({request.boot_id for request in market.registrations}) == 1
    assert (tmp_path / "s" / "owner").read_text().startswith("7-")


def test_wrong_token_is_said_plainly(market: Marketplace, tmp_path: Path) -> None:
    options = ("--server", market.url, "--state-dir", tmp_path / "s", "--token", "wrong", *SIMULATE)
    code, output = run(*options, environment=NO_ENGINE)
    assert code == 2
    assert "agent: refused by the server: This install token is not valid. (bad_token)" in output
    assert "Traceback" not in output


def test_hardware_the_server_refuses(market: Marketplace, tmp_path: Path) -> None:
    market.refusal = (422, ErrorReply(error="hardware_too_old", msg="The GTX 970 is too old: GTX 10xx or newer."))
    options = ("--server", market.url, "--state-dir", tmp_path / "s", "--token", TOKEN)
    code, output = run(*options, "--simulate", "GTX 970", "--no-firewall", environment=NO_ENGINE)
    assert code == 2
    assert "The GTX 970 is too old: GTX 10xx or newer. (hardware_too_old)" in output
    assert market.registrations[0].inventory.gpus[0].compute_capability == "5.2"


def test_revoked_machine_ends_with_its_own_status(market: Marketplace, tmp_path: Path) -> None:
    options = ("--server", market.url, "--state-dir", tmp_path / "s", *SIMULATE)
    with running(*options, "--token", TOKEN, environment=NO_ENGINE) as process:
        market.await_that(lambda: len(market.syncs) >= 1)
        end(process)
    market.credentials.clear()
    code, output = run(*options, environment=NO_ENGINE)
    assert code == 3
    assert "This machine's credential is not valid. (credential_revoked)" in output
    assert "containers on this machine keep running" in output


def test_revoked_machine_with_a_new_token_registers_again(market: Marketplace, tmp_path: Path) -> None:
    options = ("--server", market.url, "--state-dir", tmp_path / "s", "--token", TOKEN, *SIMULATE)
    with running(*options, environment=NO_ENGINE) as process:
        market.await_that(lambda: len(market.syncs) >= 1)
        market.credentials.clear()
        seen = len(market.syncs)
        market.generation += 1
        with market.condition:
            market.condition.notify_all()
        market.await_that(lambda: len(market.registrations) == 2 and len(market.syncs) > seen)
        assert end(process)[0] == 0


def test_too_old_protocol(market: Marketplace, tmp_path: Path) -> None:
    options = ("--server", market.url, "--state-dir", tmp_path / "s", *SIMULATE)
    with running(*options, "--token", TOKEN, environment=NO_ENGINE) as process:
        market.await_that(lambda: len(market.syncs) >= 1)
        end(process)
    market.refusal = (426, ErrorReply(error="unsupported_protocol", msg="Update the agent."))
    code, output = run(*options, environment=NO_ENGINE)
    assert code == 5
    assert "Update the agent. (unsupported_protocol)" in output


def test_one_agent_a_state_directory(market: Marketplace, tmp_path: Path) -> None:
    options = ("--server", market.url, "--state-dir", tmp_path / "s", "--token", TOKEN, *SIMULATE)
    with running(*options, environment=NO_ENGINE):
        market.await_that(lambda: len(market.syncs) >= 1)
        code, output = run(*options, environment=NO_ENGINE)
    assert code == 1
    assert f"Another agent is running on the state directory {tmp_path / 's'}." in output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server", "ftp://x"], "“ftp://x” is no server address"),
        (["--server", "http://x", "--ports", "5-4"], "range of ports"),
        (["--server", "http://x", "--ports", "many"], "“many” is no range of ports"),
        (["--server", "http://x"], "not registered yet: give the install token"),
        (["--server", "http://x", "--token-file", "/nonexistent"], "can't be read: No such file"),
        (["--server", "http://x", "--token", "t", "--simulate", "RTX 9999"], "There is no GPU “RTX 9999”"),
    ],
)
def test_wrong_options_are_explained(arguments: list[str], told: str, tmp_path: Path) -> None:
    code, output = run(*arguments, "--state-dir", tmp_path, "--no-firewall", environment=NO_ENGINE)
    assert code == 1
    assert told in output
    assert "Traceback" not in output


def test_without_gpus_the_agent_says_what_to_do(market: Marketplace, tmp_path: Path) -> None:
    options = ("--server", market.url, "--state-dir", tmp_path, "--token", TOKEN, "--no-firewall")
    code, output = run(*options, environment=NO_ENGINE | {"LD_LIBRARY_PATH": "/nonexistent"})
    if market.registrations:
        pytest.skip("this machine has NVIDIA GPUs")
    assert code == 1
    assert "No NVIDIA driver was found" in output
    assert "--simulate" in output
    assert "Traceback" not in output


def test_help_names_every_option() -> None:
    code, output = run("--help")
    assert code == 0
    for option in ("--server", "--token-file", "--simulate", "--state-dir", "--ports", "SPOTYARD_TOKEN", "exit status"):
        assert option in output


def fleet_config(directory: Path, *machines: dict[str, object], **defaults: object) -> Path:
    file = directory / "fleet.json"
    file.write_text(json.dumps({"machines": list(machines), "defaults": defaults}))
    return file


def test_fleet_registers_everyone_and_goes_on_without_the_refused(market: Marketplace, tmp_path: Path) -> None:
    config = fleet_config(
        tmp_path,
        {"name": "oslo-1", "simulate": "4x RTX 3090", "ports": "30000-30009"},
        {"name": "rome-1", "simulate": "RTX 4090", "geolocation": "Rome, IT", "hostname": "colosseum"},
        {"name": "bad-1", "simulate": "RTX 4090", "token": "wrong"},
        token=TOKEN,
        public_address="127.0.0.1",
        geolocation="Oslo, NO",
    )
    options = ("--server", market.url, "--config", config, "--state-dir", tmp_path / "fleet", "--no-firewall")
    with running(*options, module="agent.fleet", environment=NO_ENGINE) as process:
        market.await_that(lambda: len({sync.boot_id for sync in market.syncs}) == 2)
        market.await_that(lambda: len(market.registrations) == 3)
        code, output = end(process)
    assert code == 0, output
    assert "machine_refused name=bad-1 error=bad_token" in output
    by_name = {request.inventory.hostname: request.inventory for request in market.registrations}
    assert set(by_name) == {"oslo-1", "colosseum", "bad-1"}
    assert (by_name["oslo-1"].geolocation, by_name["oslo-1"].port_last) == ("Oslo, NO", 30009)
    assert by_name["colosseum"].geolocation == "Rome, IT"
    assert (tmp_path / "fleet" / "oslo-1" / "state.json").exists()


def test_fleet_nobody_wants_ends(market: Marketplace, tmp_path: Path) -> None:
    config = fleet_config(tmp_path, {"name": "bad-1", "simulate": "RTX 4090", "token": "wrong"})
    options = ("--server", market.url, "--config", config, "--state-dir", tmp_path / "fleet", "--no-firewall")
    code, _ = run(*options, module="agent.fleet", environment=NO_ENGINE)
    assert code == 2


@pytest.mark.parametrize(
    ("machines", "told"),
    [
        ([{"name": "a", "simulate": "RTX 3090"}, {"name": "a", "simulate": "L4"}], "more than one machine named a"),
        ([{"name": "a"}], "simulate"),
        ([{"name": "a", "simulate": "L4", "colour": "red"}], "colour"),
        ([{"name": "../a", "simulate": "L4", "token": "t"}], "can't be a machine's name"),
    ],
)
def test_wrong_fleet_is_explained(machines: list[dict[str, object]], told: str, tmp_path: Path) -> None:
    config = fleet_config(tmp_path, *machines)
    options = ("--server", "http://127.0.0.1:9", "--config", config, "--state-dir", tmp_path / "fleet")
    code, output = run(*options, "--no-firewall", module="agent.fleet", environment=NO_ENGINE)
    assert code == 1
    assert told in output
    assert "Traceback" not in output


def test_marketplace_that_moved_is_followed_with_the_same_credential(tmp_path: Path) -> None:
    with Marketplace() as old:
        options = ("--state-dir", tmp_path / "s", "--token", TOKEN, *SIMULATE)
        with running("--server", old.url, *options, environment=NO_ENGINE) as process:
            old.await_that(lambda: len(old.syncs) >= 1)
            end(process)
        credentials, boot_id = old.credentials, old.registrations[0].boot_id
    with Marketplace(credentials=credentials) as new:
        with running("--server", new.url, *options, environment=NO_ENGINE) as process:
            new.await_that(lambda: len(new.syncs) >= 1)
            end(process)
        assert (new.syncs[0].boot_id, new.registrations) == (boot_id, [])
