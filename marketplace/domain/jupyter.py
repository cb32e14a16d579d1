"""Addresses of an instance's Jupyter."""

from urllib.parse import urlencode, urlsplit

from marketplace.domain.rent import JUPYTER_PORT


def web_host(template: str, instance_id: int) -> str:
    """The name under which browsers reach the instance; ``template`` may have {id} in it."""
    return template.replace("{id}", str(instance_id))


def shares_cookies(site_url: str, host: str) -> bool:
    """Whether browsers send the host the cookies of the site, as they do whatever the port."""
    return (urlsplit(site_url).hostname or "").casefold() == host.casefold()


def opening_url(host: str, port: int, token: str) -> str:
    """Where a browser is signed in and led to Jupyter's first page. The address it shows then has no token in it."""
    name = f"[{host}]" if ":" in host else host
    return f"https://{name}:{port}/login?{urlencode({'next': '/', 'token': token})}"


def tunnel_url(token: str) -> str:
    """What to open in the browser of a computer that forwards Jupyter's port through ssh -L."""
    return f"http://localhost:{JUPYTER_PORT}/?{urlencode({'token': token})}"
