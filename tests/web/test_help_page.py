"""What the help page claims is what the code does."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from standardwebhooks import Webhook as Signer

from agent.images.rule import FULL_SHARE, RELIEVED_SHARE
from marketplace.domain.auction import Claim, Kind, Policy, clear, quote_for
from marketplace.domain.notices import INSTANCE_KINDS, event_type
from marketplace.gateways.webhooks import Parcel, signed_headers
from marketplace.services.webhooks import new_secret
from tests.plumbing.market import T0
from tests.web.pages import text

pytestmark = pytest.mark.django_db

CENT = 10_000
POLICY = Policy(increment_bps=500, floor=10 * CENT)
GPUS = range(4)


def bid(number: int, cents: int, *holds: int, gpus: int = 0) -> Claim:
    return Claim(
        claim_id=number,
        kind=Kind.BID,
        num_gpus=gpus or len(holds),
        placed_at=T0 + timedelta(seconds=number),
        price=cents * CENT,
        holds=frozenset(holds),
    )


def test_the_example_of_bids_is_what_the_auction_does(client: Client) -> None:
    shown = text(client.get("/help/"))
    ana, ben, cleo = bid(1, 40, 0, 1), bid(2, 15, 2), bid(3, 12, 3)
    assert clear(GPUS, [ana, ben, cleo], POLICY).winner_ids == {1, 2, 3}

    assert clear(GPUS, [ana, ben, cleo], POLICY).quotes[2] == 283_501
    assert "$0.283501" in shown
    dora = bid(4, 30, gpus=2)
    arrival = clear(GPUS, [ana, ben, cleo, dora], POLICY)
    assert arrival.winner_ids == {1, 4}
    assert arrival.displaced == {2, 3}

    dora, ben, cleo = (replace(c, holds=frozenset(h)) for c, h in ((dora, (2, 3)), (ben, ()), (cleo, ())))
    assert quote_for(GPUS, [ana, ben, cleo, dora], POLICY, ben.claim_id) == 195_001
    assert "$0.195001" in shown
    ben = replace(ben, price=20 * CENT)
    comeback = clear(GPUS, [ana, ben, cleo, dora], POLICY)
    assert comeback.winner_ids == {1, 2, 3}
    assert comeback.displaced == {4}

    ben, cleo, dora = (replace(c, holds=frozenset(h)) for c, h in ((ben, (2,)), (cleo, (3,)), (dora, ())))
    fixed = Claim(claim_id=5, kind=Kind.ON_DEMAND, num_gpus=1, placed_at=T0)
    last = clear(GPUS, [ana, ben, cleo, dora, fixed], POLICY)
    assert last.winner_ids == {1, 2, 5}
    assert sum(claim.price for claim in last.winners) == 60 * CENT
    assert "worth most together, $0.60" in shown


@pytest.mark.parametrize(
    "fact",
    [
        "What runs has an edge of 5%",
        "never below $0.001",
        "/.spotyard/notice.json",
        '"grace_seconds": 30',
        "It has 30 seconds to save its work",
        "/root/onstart.sh , runs again",
        "checkpoints",
        "warned 24 hours and one hour before it ends",
        "its disk is kept for 48 more hours",
        "let it run the image ubuntu with the command bash",
        "8 times in all over some 12 hours",
        "within 8 seconds",
        "Amounts below $10.00",
    ],
)
def test_the_facts_that_renters_and_hosts_need(client: Client, fact: str) -> None:
    assert fact in text(client.get("/help/"))


def test_when_images_go_is_told_with_the_figures_in_force(client: Client) -> None:
    page = client.get("/help/").content.decode()
    assert f"When {FULL_SHARE:.0%} of the disk" in page
    assert f"until it is {RELIEVED_SHARE:.0%}" in page


def test_every_kind_of_event_is_listed_and_no_other(client: Client) -> None:
    listed = re.findall(r"<td><code>(instance\.\w+)</code></td>", client.get("/help/").content.decode())
    assert listed == [event_type(kind) for kind in INSTANCE_KINDS]


def test_the_example_event_has_the_fields_of_real_ones(client: Client) -> None:
    html = client.get("/help/").content.decode()
    example = json.loads(unescape(re.findall(r'<pre class="script">(\{"id".*?)</pre>', html, re.DOTALL)[0]))
    assert list(example) == ["id", "type", "created_at", "data"]
    assert list(example["data"]) == ["instance_id", "label", "machine_id", "state", "message", "reason"]


def test_the_check_of_signatures_works(client: Client) -> None:
    html = client.get("/help/").content.decode()
    code = re.search(r'<pre class="script" id="webhook-check">(.*?)</pre>', html, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(unescape(code[1]), names)  # noqa: S102  # our own page
    old, new = new_secret(), new_secret()
    body = '{"id":"ntc_1","message":"für dich"}'
    headers = signed_headers(Parcel("https://example.com/", "ntc_1", body, (new, old), T0))
    assert Signer(new).verify(body, headers)
    for secret in (old, new):
        assert names["is_genuine"](headers, body.encode(), secret)
    assert not names["is_genuine"](headers, body.encode() + b" ", new)
    assert not names["is_genuine"](headers, body.encode(), new_secret())
    stale = signed_headers(Parcel("https://example.com/", "ntc_1", body, (new,), T0 - timedelta(minutes=6)))
    assert not names["is_genuine"](stale, body.encode(), new)


def test_reliability_and_the_order_of_offers_are_told_with_the_figures_in_force(client: Client) -> None:
    shown = text(client.get("/help/"))
    for claim in (
        "what is 30 days old counts half",
        "Down-time that hits rentals weighs 5 times, and each such outage counts 1 hour at least",
        "We begin with 23 hours up and 1 down",
        "reliability = a \N{MULTIPLICATION SIGN} √l \N{MULTIPLICATION SIGN} 4 √q",
        "A machine without any history shows 88.5%",
        "Without any history it is 79.6%",
        "score = value \N{MULTIPLICATION SIGN} proven reliability² \N{MULTIPLICATION SIGN} fit",
        "where you want 2, an offer of 8 has 62.5%",
        "ends sooner than in 24 hours",
    ):
        assert claim in shown, claim
