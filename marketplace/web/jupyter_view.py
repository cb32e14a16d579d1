"""What a page says about the Jupyter of an instance, and where a browser finds it."""

from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from hosting.connecting import relay_address, relay_now
from marketplace.domain import instance_states as states
from marketplace.domain.jupyter import opening_url, shares_cookies, tunnel_url, web_host
from marketplace.domain.rent import JUPYTER_PORT
from marketplace.models import Instance

_TOO_OLD = "The agent of its machine is too old for Jupyter. SSH works."


@dataclass(frozen=True)
class JupyterView:
    """``address`` is host and port of the relay where browsers reach it over HTTPS; None where they don't."""

    instance: Instance
    address: tuple[str, int] | None

    @property
    def name(self) -> str:
        return "JupyterLab" if self.instance.use_jupyter_lab else "Jupyter Notebook"

    @property
    def runs(self) -> bool:
        """Whether it could be there: the container runs, as far as anybody knows."""
        return self.instance.state == states.RUNNING and self.instance.machine.online

    @property
    def is_ready(self) -> bool:
        return self.runs and self.instance.task.jupyter_state == "ready"

    @property
    def has_failed(self) -> bool:
        return self.runs and (self.instance.task.jupyter_state == "failed" or self._agent_is_too_old)

    @property
    def can_open(self) -> bool:
        return self.is_ready and self.address is not None

    @property
    def note(self) -> str:
        """What to know while one can't open it; empty otherwise."""
        if not self.runs or self.can_open:
            return ""
        if self.is_ready:
            return "Jupyter is ready. It is opened through SSH: see Connect."
        if self._agent_is_too_old:
            return _TOO_OLD
        return self.instance.task.jupyter_message or "Jupyter is starting. SSH works meanwhile."

    @property
    def url(self) -> str:
        """Where one click leads: signed in. A secret of the client's; empty where there is no such address."""
        return opening_url(*self.address, self.instance.jupyter_token) if self.address else ""

    @property
    def tunnel_url(self) -> str:
        """The same for a computer that forwards the port."""
        return tunnel_url(self.instance.jupyter_token)

    @property
    def warns_of_certificate(self) -> bool:
        return self.address is not None and bool(settings.RELAY_TLS_SELF_SIGNED)

    @property
    def _agent_is_too_old(self) -> bool:
        return not self.instance.task.jupyter_state and not self.instance.machine.knows_jupyter


def jupyter_views(instances: Iterable[Instance]) -> dict[int, JupyterView]:
    """Of those among the instances that have Jupyter, by id."""
    found = [instance for instance in instances if instance.mode == "jupyter"]
    has_tls = bool(found) and (relay := relay_now()) is not None and relay.has_tls
    return {one.pk: JupyterView(one, _address(one) if has_tls else None) for one in found}


def _address(instance: Instance) -> tuple[str, int] | None:
    """Never under the site's own name, to which the browser would send the client's session as well."""
    found = relay_address(instance.machine, instance.task, JUPYTER_PORT)
    if found is None or found.kind != "https":
        return None
    host = web_host(settings.RELAY_WEB_HOST or found.host, instance.pk)
    return None if shares_cookies(settings.SITE_URL, host) else (host, found.port)
