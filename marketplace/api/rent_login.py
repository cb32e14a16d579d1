"""The login to a registry in the body of "create instance"."""

from hosting.domain.registries import Login
from marketplace.domain.registry_login import login_of_line
from marketplace.errors import MarketError
from marketplace.models import User
from marketplace.services.registry_logins import kept_login


def without_login(user: User, body: object) -> tuple[object, Login | None]:
    """The body without ``image_login``, and the login; a registry alone stands for the login that the account keeps.

    Raises MarketError: invalid_args, no_such_login. Neither says anything of what was sent.
    """
    line = body.get("image_login") if isinstance(body, dict) else None
    if line in (None, ""):
        return body, None
    if not isinstance(line, str) or "\0" in line:
        raise MarketError(
            "invalid_args", "image_login is a text like -u USER -p PASSWORD docker.io", field="image_login"
        )
    login = login_of_line(line)
    if isinstance(login, str):
        login = kept_login(user, login, field="image_login")
    assert isinstance(body, dict)  # noqa: S101 - only a dict has a line; tells the type checker
    return {name: value for name, value in body.items() if name != "image_login"}, login
