"""What webhooks connect to: the address that was judged, with the name's certificate, and nothing private."""

import socket
import ssl
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from django.utils import timezone

from marketplace.gateways import webhooks as gateway
from marketplace.gateways.webhooks import Address, Outcome, Parcel, send
from marketplace.services.webhooks import new_secret
from tests.plumbing.market import T0
from tests.plumbing.receiver import Receiver, receiving

NOT_PUBLIC = Outcome(None, "The host's name leads to an address that is not public.")
PUBLIC = "93.184.215.14"


def parcel(url: str) -> Parcel:
    return Parcel(url, "ntc_1", "{}", (new_secret(),), T0)


def names(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[str]:
    """Let names resolve to these addresses, one answer after the other; returns the list of names asked for."""
    asked: list[str] = []

    def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        addresses = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return asked


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.0.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "0.0.0.0",  # noqa: S104  # nobody listens there
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[fe80::1]",
        "[fd00::1]",
        "224.0.0.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "localhost",
    ],
)
def test_nothing_private_is_connected_to(receiver: Receiver, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    def connect(_: Address) -> socket.socket:
        pytest.fail("it tries to connect")

    monkeypatch.setattr(Address, "connect", connect)
    assert send(parcel(f"http://{host}:{receiver.port}/"), allow_private=False) == NOT_PUBLIC


@pytest.mark.parametrize("addresses", [["127.0.0.1"], [PUBLIC, "10.0.0.7"], ["::ffff:10.0.0.7"], ["fe80::1%2"]])
def test_names_that_lead_inside_are_refused(
    monkeypatch: pytest.MonkeyPatch, receiver: Receiver, addresses: list[str]
) -> None:
    names(monkeypatch, addresses)
    assert send(parcel(f"http://rebind.example:{receiver.port}/"), allow_private=False) == NOT_PUBLIC
    assert receiver.hits == []


def test_a_name_that_changes_its_mind_after_the_check_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = names(monkeypatch, [PUBLIC], ["127.0.0.1"])
    connected: list[object] = []

    def connect(_: object, numbers: object) -> None:
        connected.append(numbers)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket.socket, "connect", connect)
    outcome = send(parcel("https://rebind.example/"), allow_private=False)
    assert outcome == Outcome(None, "The connection was refused.")
    assert (asked, connected) == (["rebind.example"], [(PUBLIC, 443)])


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> None:
    names(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    real = Address.connect

    def connect(address: Address) -> socket.socket:
        if address.numbers[0] == "127.0.0.2":
            raise TimeoutError
        return real(address)

    monkeypatch.setattr(Address, "connect", connect)
    assert send(parcel(f"http://two.example:{receiver.port}/"), allow_private=True) == Outcome(200, "")
    assert receiver.hits[0].headers["host"] == f"two.example:{receiver.port}"


def test_names_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert (
        send(parcel("https://nowhere.example/"), allow_private=False).error == "The host's name could not be resolved."
    )


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate that vouches for itself, and a server's side of TLS that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = timezone.now()
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "both.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


@pytest.mark.parametrize(
    ("host", "trusted", "outcome"),
    [
        ("hooks.example", True, Outcome(200, "")),
        ("other.example", True, "The certificate is not valid: Hostname mismatch"),
        ("hooks.example", False, "The certificate is not valid: self"),
    ],
)
def test_certificates_are_checked_against_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool, outcome: Outcome | str
) -> None:
    file, server = certificate(tmp_path, "hooks.example")
    if trusted:
        context = ssl.create_default_context(cafile=str(file))
        monkeypatch.setattr(gateway, "_tls", lambda: context)
    with receiving(server) as receiver:
        names(monkeypatch, ["127.0.0.1"])
        got = send(parcel(f"https://{host}:{receiver.port}/x"), allow_private=True)
    if isinstance(outcome, Outcome):
        assert got == outcome
    else:
        assert got.error.startswith(outcome)
        assert receiver.hits == []
