"""SSH keys as people paste them, and API keys."""

import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketplace.domain.ssh_key_text import BadKeyTextError, split_key
from marketplace.errors import MarketError
from marketplace.gateways.ssh_keys import check_key
from marketplace.models import ApiKey, SshKey
from marketplace.selectors import user_by_api_key
from marketplace.services.keys import (
    api_key_create,
    api_key_revoke,
    authorized_keys,
    ssh_key_add,
    ssh_key_delete,
    ssh_key_replace,
)
from marketplace.services.rent import instance_rent
from tests.plumbing import market
from tests.plumbing.market import T0

Generate = Callable[..., tuple[str, str]]
ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0z0PUyMOkFWcwVVbFBKX0sbsXmlgGzY7JZTGCPwgT1 ann@laptop"
SK_ED25519 = (
    "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIE29f4OiSdcBxtUVXDa6F5Q+DcTgfnbXEmyxu6QE"
    "REL6AAAABHNzaDo= key@token"
)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Generate:
    """Public key lines that ssh-keygen makes, and its own fingerprints of them."""
    folder: Path = tmp_path_factory.mktemp("keys")

    def make(*options: str) -> tuple[str, str]:
        file = folder / "-".join(options).replace("/", "_")
        subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "ann@laptop", "-f", str(file), *options], check=True)
        line = file.with_suffix(".pub") if file.suffix == "" else Path(f"{file}.pub")
        shown = subprocess.run(["ssh-keygen", "-l", "-f", str(line)], check=True, capture_output=True, text=True).stdout
        return line.read_text(), shown.split()[1]

    return make


@pytest.mark.django_db
@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "rsa", "-b", "4096"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "ecdsa", "-b", "521"),
    ],
)
def test_every_key_type_of_openssh_is_accepted(generated: Generate, options: tuple[str, ...]) -> None:
    line, fingerprint = generated(*options)
    user = market.user()
    key = ssh_key_add(user=user, text=f"  {line}\n\n", now=T0)
    assert (key.fingerprint, key.comment) == (fingerprint, "ann@laptop")
    assert authorized_keys(user) == [line.strip()]


@pytest.mark.django_db
def test_hardware_keys_are_accepted() -> None:
    key = ssh_key_add(user=market.user(), text=SK_ED25519, now=T0)
    assert key.key_type == "sk-ssh-ed25519@openssh.com"


def test_a_key_wrapped_by_a_terminal_is_mended() -> None:
    kind, body, comment = ED25519.split(" ")
    wrapped = f"{kind} {body[:30]}\n  {body[30:]} {comment}\r\n"
    assert split_key(wrapped).line() == ED25519


KIND, BODY, COMMENT = ED25519.split(" ")


@pytest.mark.parametrize(
    "text",
    [
        f'"{ED25519}"',
        f"\u201c{ED25519}\u201d",
        f"`{ED25519}`",
        f"\ufeff{ED25519}\r\n",
        f"{KIND}\u00a0{BODY}\u2009{COMMENT}",
        f"{KIND} {BODY[:20]}\u200b{BODY[20:]} {COMMENT}",
        f"{KIND} {BODY[:20]} {BODY[20:]} {COMMENT}",
        f"{KIND}\r\n{BODY[:20]}\r\n{BODY[20:]}\r\n{COMMENT}",
        f"{KIND.capitalize()} {BODY} {COMMENT}",
        f"\t{KIND}  {BODY}\t{COMMENT}  ",
    ],
)
def test_what_programs_do_to_a_key_is_mended(text: str) -> None:
    assert split_key(text).line() == ED25519


@pytest.mark.parametrize("comment", ["", "Ann's läptop", "Ann <ann@home.org>", "ann laptop #1", "日本語", "a=b@c"])
def test_comments_may_be_anything(comment: str) -> None:
    parts = split_key(f"{KIND} {BODY} {comment}")
    check_key(parts)
    assert parts.line() == f"{KIND} {BODY} {comment}".strip()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPublic-Lines: 2\nAAAA", "PuTTY's private key"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "private key"),
        ("-----BEGIN PUBLIC KEY-----\nMIIB", "-m PKCS8"),
        ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "not an SSH key"),
        ("/home/ann/.ssh/id_ed25519.pub", "cat /home/ann/.ssh/id_ed25519.pub"),
        ("C:\\Users\\Ann Lee\\.ssh\\id_rsa.pub", "name of a key file"),
        ("~/.ssh/id_rsa", "cat ~/.ssh/id_rsa.pub"),
        (f'no-pty,command="ls" {ED25519}', 'something before the key: "no-pty'),
        (f"github.com {ED25519}", 'something before the key: "github.com"'),
        (f"$ cat ~/.ssh/id_ed25519.pub\n{ED25519}", "something before the key"),
        (f"ssh-ed25519-cert-v01@openssh.com {BODY} ann", "certificate"),
        (f"<p>{ED25519}</p>", "HTML"),
        (ED25519.replace("+", "&#43;") + "&nbsp;", "HTML"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1… ann@laptop", "shortened with dots"),
        ("ssh-ed25519 AAAAC3... ann@laptop", "shortened with dots"),
        ("256 SHA256:uNiVztksCsDhcc0u9e8BrQJ6fGQ ann (ED25519)", "fingerprint"),
        ("ann@laptop", "only the end of a key"),
        ("ssh-keygen -t ed25519", "command that makes a key"),
        (f"{ED25519} {ED25519}", "several keys"),
        (f"{KIND} {BODY[:40]} {COMMENT}", "cut off"),
        (f"{KIND} {BODY[20:]} {COMMENT}", "contains something else"),
        ("ssh-foo AAAAB3NzaC1kc3M= a@b", 'begins with "ssh-foo"'),
        ("\u200b\ufeff", "empty"),
        ("", "empty"),
        ("   \n", "empty"),
        (ED25519[:60], "cut off"),
        (ED25519[:-25], "cut off"),
        ("ssh-ed25519", "long part is missing"),
        (ED25519.split(" ")[1] + " ann@laptop", "beginning of the key is missing"),
        ("~/.ssh/id_ed25519.pub", "name of a key file"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb…", "private key"),
        ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", "ssh-keygen -i"),
        ("ssh-dss AAAAB3NzaC1kc3M= old@box", "too weak"),
        ("SHA256:uNiVztksCsDhcc0u9e8BrQJ6fGQ", "fingerprint"),
        (ED25519 + "\n" + ED25519, "several keys"),
        (ED25519.replace("ssh-ed25519", "ssh-rsa", 1), "contains something else"),
        (ED25519.replace("IJ0z", "IJ*z"), '"*"'),
        ("hello world", 'begins with "hello"'),
        ("ssh-ed25519 " + "A" * 20000, "too long"),
    ],
)
def test_a_wrong_paste_is_refused_with_the_reason(text: str, words: str) -> None:
    user = market.user()
    with pytest.raises(MarketError) as refused:
        ssh_key_add(user=user, text=text, now=T0)
    assert (refused.value.code, refused.value.field) == ("bad_ssh_key", "ssh_key")
    assert words in refused.value.message
    assert not SshKey.objects.filter(user=user).exists()


@pytest.mark.django_db
def test_a_short_rsa_key_is_refused(generated: Generate) -> None:
    line, _ = generated("-t", "rsa", "-b", "1024")
    with pytest.raises(MarketError, match="1024 bits"):
        ssh_key_add(user=market.user(), text=line, now=T0)


def verdict(text: str) -> str:
    """The key's line, or the refusal."""
    try:
        return split_key(text).line()
    except BadKeyTextError as error:
        return str(error)


@given(st.text(max_size=300))
def test_any_text_is_a_key_or_a_clear_refusal(text: str) -> None:
    assert len(verdict(text)) > 20


@given(st.integers(1, len(ED25519.split(" ")[1]) - 1))
def test_no_prefix_of_a_key_passes_for_it(length: int) -> None:
    kind, body, _ = ED25519.split(" ")
    with pytest.raises(BadKeyTextError):
        check_key(split_key(f"{kind} {body[:length]}"))


@pytest.mark.django_db
def test_keys_of_the_account_reach_its_running_instances() -> None:
    agent = market.listed_machine(gpus=1)
    client = market.user(dollars=10)
    first = ssh_key_add(user=client, text=ED25519, now=T0)
    assert ssh_key_add(user=client, text=ED25519, now=T0).pk == first.pk
    instance_rent(client=client, offer_id=market.offer(agent).pk, request=market.wish(), now=T0)
    assert agent.obey(T0).tasks[0].authorized_keys == [ED25519]
    generation = agent.obey(T0).generation
    ssh_key_add(user=client, text=SK_ED25519, now=T0)
    reply = agent.report(T0)
    assert reply.tasks[0].authorized_keys == [ED25519, SK_ED25519]
    assert reply.generation > generation
    ssh_key_delete(user=client, key_id=first.pk, now=T0)
    assert agent.report(T0).tasks[0].authorized_keys == [SK_ED25519]


@pytest.mark.django_db
def test_keys_of_others_can_be_neither_deleted_nor_replaced() -> None:
    key = ssh_key_add(user=market.user(), text=ED25519, now=T0)
    stranger = market.user()
    for work in (
        lambda: ssh_key_delete(user=stranger, key_id=key.pk, now=T0),
        lambda: ssh_key_replace(user=stranger, key_id=key.pk, text=SK_ED25519, now=T0),
    ):
        with pytest.raises(MarketError) as refused:
            work()
        assert refused.value.status == 404
    assert SshKey.objects.filter(pk=key.pk).exists()


@pytest.mark.django_db
def test_a_bad_replacement_keeps_the_old_key() -> None:
    user = market.user()
    key = ssh_key_add(user=user, text=ED25519, now=T0)
    with pytest.raises(MarketError):
        ssh_key_replace(user=user, key_id=key.pk, text="nonsense", now=T0)
    assert authorized_keys(user) == [ED25519]


@pytest.mark.django_db
def test_api_keys_open_the_account_until_revoked() -> None:
    user = market.user()
    key, raw = api_key_create(user=user, name="laptop", now=T0)
    assert raw not in ApiKey.objects.values_list("key_hash", flat=True)
    assert user_by_api_key(raw, T0) == user
    assert user_by_api_key(raw + "x", T0) is None
    key.refresh_from_db()
    assert key.last_used_at == T0
    user_by_api_key(raw, T0 + timedelta(seconds=30))
    key.refresh_from_db()
    assert key.last_used_at == T0
    with pytest.raises(MarketError):
        api_key_revoke(user=market.user(), key_id=key.pk, now=T0)
    api_key_revoke(user=user, key_id=key.pk, now=T0)
    assert user_by_api_key(raw, T0) is None


@pytest.mark.django_db
def test_keys_of_a_deactivated_account_open_nothing() -> None:
    user = market.user()
    _, raw = api_key_create(user=user, name="laptop", now=T0)
    user.is_active = False
    user.save()
    assert user_by_api_key(raw, T0) is None


@pytest.mark.django_db
def test_api_keys_need_a_name() -> None:
    with pytest.raises(MarketError) as refused:
        api_key_create(user=market.user(), name="  ", now=T0)
    assert refused.value.field == "name"
