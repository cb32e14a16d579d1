"""Settings of what browsers reach through the relay: Jupyter of instances."""

from hosting.domain.addresses import is_address
from marketplace.environment import env, read

__all__ = ["RELAY_TLS_SELF_SIGNED", "RELAY_WEB_HOST"]


def _is_host_template(text: str) -> bool:
    return not text or (text.count("{") == text.count("{id}") <= 1 and is_address(text.replace("{id}", "1")))


_WANTS = "a name like relay.example or {id}.relay.example"
RELAY_WEB_HOST = read("RELAY_WEB_HOST", env.str, "", check=_is_host_template, wants=_WANTS)
"""The name under which browsers reach the relay's https ports; empty: RELAY_HOST. With {id} in it, each instance has a
name of its own, which takes a wildcard record in the DNS and a wildcard certificate. Browsers send cookies to all ports
of a name: without {id} an instance sees those of the others that the same person opens. It must not be the site's own
name."""
RELAY_TLS_SELF_SIGNED = read("RELAY_TLS_SELF_SIGNED", env.bool, False)
"""Whether browsers are going to warn of the relay's certificate."""
