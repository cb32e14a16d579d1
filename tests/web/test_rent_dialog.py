"""The rent dialog."""

import subprocess
from datetime import timedelta

import pytest
import time_machine
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing.selectors import balance_micros
from marketplace.models import Instance, Offer, SshKey, User
from marketplace.services.keys import ssh_key_add
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0, TestAgent
from tests.web.pages import HTMX, field_errors, text

pytestmark = pytest.mark.django_db

WISH = {"rental_type": "on_demand", "image": "ubuntu:22.04", "disk_gb": "20", "mode": "ssh"}


@pytest.fixture(scope="module")
def public_key(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("keys") / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@laptop", "-f", str(file)], check=True)
    return str(file.with_suffix(".pub").read_text())


@pytest.fixture
def offer(agent: TestAgent) -> Offer:
    return market.offer(agent, 2)


def url(offer: Offer) -> str:
    return f"/offers/{offer.pk}/rent/"


def test_the_dialog_breaks_the_price_down_and_names_the_lifetime(web: Client, offer: Offer) -> None:
    shown = text(web.get(f"{url(offer)}?disk_gb=100", headers=HTMX))
    assert "2\N{MULTIPLICATION SIGN} RTX 3090, while running $1.0000" in shown
    assert "100 GB disk, as long as it exists $0.0139" in shown
    assert "Per hour $1.0139" in shown
    assert "90 d 0 h, until 31 May 2026" in shown


def test_the_dialog_is_also_a_page(web: Client, offer: Offer) -> None:
    assert "<html" in web.get(url(offer)).content.decode()
    assert "<html" not in web.get(url(offer), headers=HTMX).content.decode()


def test_the_price_follows_the_disk_while_it_is_chosen(web: Client, offer: Offer) -> None:
    shown = text(web.get(f"/offers/{offer.pk}/price/?disk_gb=200", headers=HTMX))
    assert "200 GB disk, as long as it exists $0.0278" in shown
    assert "Per hour $1.0278" in shown


@pytest.mark.parametrize(("asked", "shown"), [("1", "8 GB disk"), ("99999", "500 GB disk"), ("x", "10 GB disk")])
def test_a_disk_outside_the_offer_is_brought_inside_for_the_price(
    web: Client, offer: Offer, asked: str, shown: str
) -> None:
    assert shown in text(web.get(f"/offers/{offer.pk}/price/", {"disk_gb": asked}, headers=HTMX))


def test_renting_creates_the_instance_and_shows_it(web: Client, renter: User, offer: Offer) -> None:
    data = QueryDict(mutable=True)
    data.update(WISH | {"onstart": "#!/bin/sh\r\necho hi\r\n", "label": "mine", "ports": "8080, 5000/udp"})
    data.setlist("env_name", ["A", "", "B"])
    data.setlist("env_value", ["1", "", "two words"])
    response = web.post(url(offer), data.urlencode(), content_type="application/x-www-form-urlencoded", headers=HTMX)
    assert (response.status_code, response.headers["HX-Redirect"]) == (204, "/instances/")
    instance = Instance.objects.get(client=renter)
    assert (instance.image, instance.disk_gb, instance.mode, instance.label) == ("ubuntu:22.04", 20, "ssh", "mine")
    assert (instance.env, instance.onstart) == ({"A": "1", "B": "two words"}, "#!/bin/sh\necho hi\n")
    ports = instance.task.port_leases.order_by("container_port").values_list("container_port", "protocol")
    assert list(ports) == [(22, "tcp"), (5000, "udp"), (8080, "tcp")]
    page = text(web.get("/instances/"))
    assert f"Rented. Instance {instance.pk} is being prepared." in page
    assert f"mine C.{instance.pk}" in page


def test_a_custom_command_is_split_like_a_shell_does(web: Client, renter: User, offer: Offer) -> None:
    wish = WISH | {"mode": "args", "args": "python -c 'print(1)'", "entrypoint": "/bin/sh", "onstart": "ignored"}
    assert web.post(url(offer), wish).status_code == 302
    instance = Instance.objects.get(client=renter)
    assert (instance.mode, instance.args, instance.entrypoint) == ("args", ["python", "-c", "print(1)"], "/bin/sh")
    assert instance.onstart == ""
    assert instance.ssh_port is None


def test_a_double_click_rents_once(web: Client, renter: User, offer: Offer) -> None:
    first = web.post(url(offer), WISH, headers=HTMX)
    second = web.post(url(offer), WISH, headers=HTMX)
    assert (first.status_code, second.status_code) == (204, 204)
    assert Instance.objects.filter(client=renter).count() == 1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("image", "", "Name the image to run"),
        ("image", "not an image!", "is not an image name"),
        ("disk_gb", "", "This field is required."),
        ("disk_gb", "4", "The disk must have at least 8 GB."),
        ("disk_gb", "501", "This offer has at most 500 GB of disk; you asked for 501 GB."),
        ("disk_gb", "ten", "Enter a whole number."),
        ("ports", "http", "'http' is not a port."),
        ("ports", "70000", "70000/tcp is not a port"),
        ("label", "x" * 257, "The label has 257 characters; 256 is the most."),
    ],
)
def test_bad_input_is_named_beside_its_field_and_nothing_is_rented(
    web: Client, offer: Offer, field: str, value: str, message: str
) -> None:
    response = web.post(url(offer), WISH | {field: value}, headers=HTMX)
    assert response.status_code == 422
    assert message in field_errors(response, field)
    assert not Instance.objects.exists()
    offer.refresh_from_db()
    assert offer.rentable


def test_a_command_with_an_open_quote_is_named(web: Client, offer: Offer) -> None:
    response = web.post(url(offer), WISH | {"mode": "args", "args": "echo 'x"}, headers=HTMX)
    assert "This can't be split into words: no closing quotation." in field_errors(response, "args")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["1X"], "'1X' is not a name for an environment variable"),
        (["VAST_CONTAINERLABEL"], "VAST_CONTAINERLABEL is set by the marketplace"),
        (["A", "A"], "A is given twice."),
        ([""], "'' is not a name for an environment variable"),
    ],
)
def test_bad_variables_are_named_and_stay_in_the_form(
    web: Client, offer: Offer, names: list[str], message: str
) -> None:
    response = web.post(url(offer), WISH | {"env_name": names, "env_value": ["v1", "v2"][: len(names)]}, headers=HTMX)
    assert response.status_code == 422
    assert message in text(response)
    assert 'value="v1"' in response.content.decode()


def test_an_unknown_launch_mode_is_refused(web: Client, offer: Offer) -> None:
    response = web.post(url(offer), WISH | {"mode": "vnc"}, headers=HTMX)
    assert response.status_code == 422
    assert "vnc is not one of the available choices" in text(response)


def test_without_credit_the_dialog_warns_and_renting_is_refused(client: Client, offer: Offer) -> None:
    poor = market.user("poor@example.com")
    client.force_login(poor)
    warning = "Your credit is $0.00. This rental needs at least $1.00, one hour of it."
    assert warning in text(client.get(url(offer), headers=HTMX))
    response = client.post(url(offer), WISH, headers=HTMX)
    assert response.status_code == 422
    assert "Your credit is 0.00; this needs at least 1.00" in text(response).replace("$", "")
    assert not Instance.objects.exists()


def test_an_offer_that_is_gone_says_so(web: Client, other_web: Client, offer: Offer) -> None:
    assert web.post(url(offer), WISH).status_code == 302
    page = other_web.get(url(offer), headers=HTMX)
    assert "This offer is not available any more" in text(page)
    response = other_web.post(url(offer), WISH, headers=HTMX)
    assert response.status_code == 422
    assert f"Offer {offer.pk} is not available any more" in text(response)
    assert Instance.objects.count() == 1


def test_an_offer_that_never_was(web: Client) -> None:
    assert web.get("/offers/99999/rent/").status_code == 404


def test_hosts_can_not_rent_their_own_machine(host_web: Client, offer: Offer) -> None:
    assert "This is your own machine" in text(host_web.get(url(offer)))
    assert "You can't rent your own machine." in text(host_web.post(url(offer), WISH))


def test_without_a_key_the_dialog_takes_one(web: Client, renter: User, offer: Offer, public_key: str) -> None:
    assert "You have stored no SSH key" in text(web.get(url(offer)))
    assert web.post(url(offer), WISH | {"ssh_key": public_key}).status_code == 302
    assert SshKey.objects.get(user=renter).comment == "ada@laptop"
    assert Instance.objects.get(client=renter).task.authorized_keys == [public_key.strip()]


def test_a_bad_key_is_named_and_nothing_is_rented(web: Client, offer: Offer, public_key: str) -> None:
    response = web.post(url(offer), WISH | {"ssh_key": public_key[:60]}, headers=HTMX)
    assert "The key is cut off" in field_errors(response, "ssh_key")
    assert not Instance.objects.exists()


def test_a_refused_rental_keeps_the_key_and_asks_for_it_no_more(
    web: Client, renter: User, offer: Offer, public_key: str
) -> None:
    refused = web.post(url(offer), WISH | {"ssh_key": public_key, "disk_gb": "4"})
    assert refused.status_code == 422
    assert SshKey.objects.get(user=renter).comment == "ada@laptop"
    assert "You have stored no SSH key" not in text(refused)
    assert not Instance.objects.exists()
    assert web.post(url(offer), WISH | {"ssh_key": public_key}).status_code == 302
    assert SshKey.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_no_transaction_locks_two_machines(web: Client, renter: User, agent: TestAgent, public_key: str) -> None:
    """A new key locks the machines of all instances; whoever then locks one more can meet somebody who did it in the
    other order."""
    instance_rent(client=renter, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    other = market.offer(market.listed_machine())
    with CaptureQueriesContext(connection) as captured:
        assert web.post(url(other), WISH | {"ssh_key": public_key}).status_code == 302
    locked: list[set[str]] = [set()]
    for sql in (query["sql"] for query in captured):
        if sql == "COMMIT":
            locked.append(set())
        elif 'FROM "hosting_machine"' in sql and "FOR UPDATE" in sql:
            locked[-1].add(sql)
    assert len(set().union(*locked)) == 2
    assert max(len(machines) for machines in locked) == 1


def test_with_a_key_the_dialog_does_not_ask(web: Client, renter: User, offer: Offer, public_key: str) -> None:
    ssh_key_add(user=renter, text=public_key, now=T0)
    assert "You have stored no SSH key" not in text(web.get(url(offer)))


def test_the_price_seen_is_the_price_paid(web: Client, renter: User, agent: TestAgent, offer: Offer) -> None:
    web.post(url(offer), WISH)
    agent.obey(T0)
    with time_machine.travel(T0 + timedelta(hours=1), tick=False):
        spent = 100_000_000 - balance_micros(renter, T0 + timedelta(hours=1))
    assert spent == 1_000_000 + 2778
