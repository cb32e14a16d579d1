"""Copies of a file between an instance and an address on the web: what is asked for, and what makes no sense in it."""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote, unquote, urlsplit

from marketplace.domain.copies import path_problem

Direction = Literal["download", "upload"]
MAX_URL_CHARS = 8192
MAX_KEY_CHARS = 1024
_REGION = re.compile(r"[A-Za-z0-9-]{1,64}")
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_UNPRINTABLE = re.compile(r"[\x00-\x20\x7f]")
DEFAULT_REGION = "us-east-1"
DEFAULT_NAME = "download"


@dataclass(frozen=True, kw_only=True)
class S3Object:
    """An object in an S3-compatible store, and the keys for it."""

    endpoint: str
    """"https://s3.eu-central-1.amazonaws.com"."""
    bucket: str
    key: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = DEFAULT_REGION

    def url(self) -> str:
        """The address, with the bucket in its path, which every store understands."""
        return f"{self.endpoint.rstrip('/')}/{self.bucket}/{quote(self.key.lstrip('/'))}"


@dataclass(frozen=True, kw_only=True)
class UrlCopyRequest:
    """``url`` may be a secret itself, as presigned ones are. Either it is given, or an object."""

    direction: Direction
    path: str
    url: str = field(default="", repr=False)
    s3: S3Object | None = None

    @property
    def address(self) -> str:
        return self.s3.url() if self.s3 is not None else self.url

    @property
    def shown(self) -> str:
        """The address without what may be secret."""
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"

    @property
    def name(self) -> str:
        """What the file is called where the path is a folder."""
        last = unquote(urlsplit(self.address).path).rstrip("/").rpartition("/")[2]
        return re.sub(r"[\x00-\x1f\x7f/]", "_", last)[:200].lstrip(".") or DEFAULT_NAME


def problems(request: UrlCopyRequest) -> dict[str, str]:
    """A sentence for each field that makes no sense; empty when all is well."""
    found = {"path": path_problem(request.path), "url": _url_problem(request.address)}
    if request.direction not in ("download", "upload"):
        found["direction"] = "direction is download (to the instance) or upload (from it)."
    if request.direction == "upload" and request.path.endswith("/"):
        found["path"] = "Name the one file that is to be sent, not a folder. Pack a folder with tar first."
    if request.s3 is not None:
        found |= _s3_problems(request.s3)
    return {name: text for name, text in found.items() if text}


def _url_problem(url: str) -> str:
    if len(url) > MAX_URL_CHARS:
        return f"An address has at most {MAX_URL_CHARS} characters."
    if _UNPRINTABLE.search(url):
        return "The address contains a space or a control character: write it as %20."
    try:
        parts = urlsplit(url)
        port_is_sound = parts.port is None or parts.port > 0
    except ValueError:
        return "This is not an address."
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_sound:
        return "Give the whole address, beginning with https:// or http://."
    return ""


def _s3_problems(s3: S3Object) -> dict[str, str]:
    is_key = all(0 < len(text) <= MAX_KEY_CHARS and text.isprintable() for text in (s3.access_key, s3.secret_key))
    key_is_sound = 0 < len(s3.key) <= MAX_KEY_CHARS and s3.key.isprintable()
    return {
        "bucket": "" if _BUCKET.fullmatch(s3.bucket) else "This is not the name of a bucket.",
        "key": "" if key_is_sound else "Give the object's key, its path in the bucket.",
        "region": "" if _REGION.fullmatch(s3.region) else "This is not a region, such as eu-central-1.",
        "access_key": "" if is_key else "Give both keys, access key and secret key.",
    }
