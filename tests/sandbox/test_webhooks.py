"""What the sandbox sends to webhooks, and the accidents that can be ordered."""

from collections.abc import Callable
from time import monotonic

import stripe

from tests.plumbing.provider import Provider
from tests.plumbing.receiver import Receiver, receiving

GIVE_UP_AFTER_SECONDS = 20
SECRET = "whsec_sandbox"


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = monotonic() + GIVE_UP_AFTER_SECONDS
    while not holds():
        assert monotonic() < deadline, "the webhooks did not come"


def send_to(provider: Provider, receiver: Receiver) -> None:
    provider.control("/webhooks/stripe/url", url=receiver.url)


def make(provider: Provider, *names: str) -> None:
    for name in names:
        provider.stripe.v1.customers.create({"name": name})


def told(receiver: Receiver) -> list[str]:
    return [hit.event["data"]["object"]["name"] for hit in receiver.hits]


def test_events_are_signed_as_stripe_signs_them(provider: Provider) -> None:
    with receiving() as receiver:
        send_to(provider, receiver)
        make(provider, "A")
        wait_until(lambda: bool(receiver.hits))
    (hit,) = receiver.hits
    event = stripe.Webhook.construct_event(hit.body, hit.headers["stripe-signature"], SECRET)
    assert (event.type, event.data.object["name"]) == ("customer.created", "A")


def test_a_receiver_that_fails_is_told_again(provider: Provider) -> None:
    with receiving() as receiver:
        receiver.statuses = [500]
        send_to(provider, receiver)
        make(provider, "A")
        wait_until(lambda: len(receiver.hits) == 2)
    assert receiver.hits[0].event["id"] == receiver.hits[1].event["id"]


def test_events_are_lost_doubled_and_held_as_planned(provider: Provider) -> None:
    provider.control("/webhooks/plan", next=["lose", "hold", "double", "hold"])
    with receiving() as receiver:
        send_to(provider, receiver)
        make(provider, "A", "B", "C", "D", "E")
        wait_until(lambda: len(receiver.hits) == 3)
        assert told(receiver) == ["C", "C", "E"]
        assert provider.control("/webhooks/release", newest_first=True) == {"released": 2}
        make(provider, "F")
        wait_until(lambda: len(receiver.hits) == 6)
    assert told(receiver)[3:] == ["D", "B", "F"]
    states = [row["state"] for row in provider.deliveries()]
    assert states.count("lost") == 1


def test_nothing_is_sent_without_an_address_but_all_can_be_read(provider: Provider) -> None:
    make(provider, "A", "B")
    first, second = provider.deliveries()
    assert (first["state"], second["event"]["data"]["object"]["name"]) == ("due", "B")
    assert stripe.Webhook.construct_event(first["body"], first["headers"]["Stripe-Signature"], SECRET).id
