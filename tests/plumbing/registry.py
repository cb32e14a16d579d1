"""A small image registry: speaks the part of the protocol that a pull needs, from memory, with logins or without.

with Registry(docker.from_env(), login=("ada", "secret")) as registry:
    registry.image  # 127.0.0.1:PORT/team/app:1, to be pulled by ada alone
"""

import base64
import hashlib
import io
import json
import tarfile
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

import docker
import docker.errors

from tests import images

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
Scheme = Literal["basic", "bearer"]
REPOSITORY = "team/app"


class Registry:
    """Holds one image, made unique, as ``team/app:1``. ``others`` may log in but have no right to it."""

    def __init__(
        self,
        engine: docker.DockerClient,
        *,
        login: tuple[str, str] | None = None,
        others: tuple[tuple[str, str], ...] = (),
        scheme: Scheme = "basic",
        kind: images.Kind = "nosshd",
    ) -> None:
        self.engine = engine
        self.login = login
        self.others = others
        self.scheme = scheme
        self.asked: list[tuple[str, str]] = []
        """User ("" for nobody) and path of every request for a manifest."""
        self.blobs: dict[str, bytes] = {}
        self.manifest = self._take(images.build(kind, engine))

    def __enter__(self) -> "Registry":
        registry = self

        class Handler(_Handler):
            served = registry

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        try:
            self.engine.images.remove(self.image, force=True)
        except docker.errors.ImageNotFound:
            return

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def image(self) -> str:
        return f"{self.address}/{REPOSITORY}:1"

    def _take(self, tag: str) -> bytes:
        """The image of the engine as blobs; its configuration is made unique, so that no other has its id."""
        content = b"".join(self.engine.images.get(tag).save())
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            (described,) = json.loads(_file(archive, "manifest.json"))
            settings = json.loads(_file(archive, described["Config"]))
            layers = [self._layer(_file(archive, name)) for name in described["Layers"]]
        settings["config"] = (settings.get("config") or {}) | {"Labels": {"test": uuid.uuid4().hex}}
        about = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._blob("application/vnd.docker.container.image.v1+json", json.dumps(settings).encode()),
            "layers": layers,
        }
        return json.dumps(about).encode()

    def _layer(self, content: bytes) -> dict[str, Any]:
        return self._blob("application/vnd.docker.image.rootfs.diff.tar.gzip", content)

    def _blob(self, kind: str, content: bytes) -> dict[str, Any]:
        digest = digest_of(content)
        self.blobs[digest] = content
        return {"mediaType": kind, "size": len(content), "digest": digest}

    def user_of(self, authorization: str) -> str | None:
        """Who logs in so; "" without a login, None with a wrong one."""
        if not authorization:
            return ""
        kind, _, text = authorization.partition(" ")
        if kind == "Bearer":
            return text.removeprefix("token-of-")
        name, _, password = base64.b64decode(text).decode().partition(":")
        return name if (name, password) in (self.login, *self.others) else None

    def may_pull(self, user: str | None) -> bool:
        """Whether this user gets the image."""
        return self.login is None or user == self.login[0]


def digest_of(content: bytes) -> str:
    """How registries name content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _file(archive: tarfile.TarFile, name: str) -> bytes:
    found = archive.extractfile(name)
    assert found is not None
    return found.read()


class _Handler(BaseHTTPRequestHandler):
    served: Registry
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        url = urlsplit(self.path)
        user = self.served.user_of(self.headers.get("Authorization", ""))
        if url.path == "/token":
            self._token(user)
        elif user is None or (self.served.login is not None and user == ""):
            self._challenge()
        elif url.path == "/v2/":
            self._send(200, b"{}")
        else:
            self._content(url.path, user)

    def _token(self, user: str | None) -> None:
        if user is None or (user == "" and self.served.login is not None):
            self._error(401, "UNAUTHORIZED", "authentication required")
        else:
            self._send(200, json.dumps({"token": f"token-of-{user}", "expires_in": 300}).encode())

    def _challenge(self) -> None:
        service = f'realm="http://{self.served.address}/token",service="test"'
        offered = 'Basic realm="test"' if self.served.scheme == "basic" else f"Bearer {service}"
        self._error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": offered})

    def _content(self, path: str, user: str) -> None:
        prefix = f"/v2/{REPOSITORY}/"
        if "/manifests/" in path:
            self.served.asked.append((user, path))
        if not self.served.may_pull(user):
            self._error(403, "DENIED", "requested access to the resource is denied")
        elif path in (f"{prefix}manifests/1", f"{prefix}manifests/{digest_of(self.served.manifest)}"):
            digest = {"Docker-Content-Digest": digest_of(self.served.manifest)}
            self._send(200, self.served.manifest, digest, MANIFEST)
        elif path.removeprefix(f"{prefix}blobs/") in self.served.blobs:
            self._send(200, self.served.blobs[path.removeprefix(f"{prefix}blobs/")], {}, "application/octet-stream")
        elif path.startswith(prefix):
            self._error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        else:
            self._error(404, "NAME_UNKNOWN", "repository name not known to registry")

    def _error(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps({"errors": [{"code": code, "message": message}]}).encode(), headers)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        self.send_response(status)
        # A connection that the engine kept would go on being answered when the registry has ended.
        self.send_header("Connection", "close")
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Quietly."""
