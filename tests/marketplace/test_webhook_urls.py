"""Which URLs webhooks may have, and which addresses are never connected to."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import example, given
from hypothesis.strategies import ip_addresses, text

from hosting.domain.addresses import is_public
from marketplace.domain.webhook_urls import URL_MAX_CHARS, BadUrlError, checked_url


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("https://example.com", "https://example.com/"),
        ("  HTTPS://Example.COM/a?b=c ", "https://example.com/a?b=c"),
        ("https://example.com:8443/x", "https://example.com:8443/x"),
        ("https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example/\u00fc", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://8.8.8.8/h", "https://8.8.8.8/h"),
        ("https://[2606:4700:0::1111]/h", "https://[2606:4700::1111]/h"),
    ],
)
def test_usable_urls_are_stored_in_one_spelling(typed: str, stored: str) -> None:
    assert checked_url(typed, http_allowed=False, private_allowed=False) == stored


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "Give the URL"),
        ("   ", "Give the URL"),
        ("example.com/hook", "must begin with https://"),
        ("http://example.com/", "must not be readable on its way"),
        ("ftp://example.com/", "must begin with https://"),
        ("file:///etc/passwd", "must begin with https://"),
        ("javascript:alert(1)", "must begin with https://"),
        ("https://", "missing or not a valid one"),
        ("https:///path", "missing or not a valid one"),
        ("https://me:pw@example.com/", "Leave user name and password out"),
        ("https://@example.com/", "Leave user name and password out"),
        ("https://example.com:0/", "Port 0"),
        ("https://example.com:99999/", "not a URL"),
        ("https://example.com:abc/", "not a URL"),
        ("https://[::1/", "not a URL"),
        ("https://example.com/#part", "from # on"),
        ("https://exa mple.com/", "spaces"),
        ("https://example.com/\r\nX-Evil: 1", "spaces"),
        ("https://example.com\\@evil.example/", "backslashes"),
        ("https://" + "a" * 70 + ".example/", "not a valid one"),
        ("https://a..example/", "not a valid one"),
        ("https://exa%6dple.com/", "not a valid one"),
        ("https://example.com/" + "x" * URL_MAX_CHARS, "longer than"),
        ("https://example.com/" + "\u00fc" * 700, "longer than"),
        ("https://127.0.0.1/", "not public"),
        ("https://10.1.2.3/", "not public"),
        ("https://169.254.169.254/latest/meta-data/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:127.0.0.1]/", "not public"),
        ("https://[fe80::1%25eth0]/", "not public"),
        ("https://0.0.0.0/", "not public"),
        ("https://2130706433/", "four decimal numbers"),
        ("https://0x7f000001/", "four decimal numbers"),
        ("https://127.1/", "four decimal numbers"),
        ("https://0177.0.0.1/", "four decimal numbers"),
        ("https://localhost/", "not public"),
        ("https://a.localhost./", "not public"),
        ("https://db.internal/", "not public"),
        ("https://redis:6379/", "not public"),
    ],
)
def test_rubbish_is_refused_with_the_reason(typed: str, reason: str) -> None:
    with pytest.raises(BadUrlError, match=reason):
        checked_url(typed, http_allowed=False, private_allowed=False)


def test_a_demo_may_deliver_to_itself() -> None:
    assert checked_url("http://127.0.0.1:9/x", http_allowed=True, private_allowed=True) == "http://127.0.0.1:9/x"
    assert checked_url("http://localhost:9", http_allowed=True, private_allowed=True) == "http://localhost:9/"


@given(text())
@example("https://\u2100.example/")
@example("https://[v1.x]/")
def test_any_text_is_taken_or_refused(typed: str) -> None:
    for candidate in (typed, f"https://{typed}", f"https://example.com/{typed}"):
        try:
            stored = checked_url(candidate, http_allowed=False, private_allowed=False)
        except BadUrlError:
            continue
        assert stored.isascii()
        assert checked_url(stored, http_allowed=False, private_allowed=False) == stored


@given(ip_addresses())
def test_what_is_public_is_global(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not any((address.is_multicast, address.is_reserved, address.is_private))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.255.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104  # nobody listens there
        "0.1.2.3",
        "224.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.0.8",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::ffff:8.8.8.8",
        "::127.0.0.1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:db8::1",
        "100::1",
        "3fff::1",
    ],
)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1"])
def test_ordinary_addresses_are(address: str) -> None:
    assert is_public(ip_address(address))
