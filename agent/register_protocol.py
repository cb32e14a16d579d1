"""The part of the wire schema with which a machine joins: checks beforehand, the install token, registration."""

from agent.protocol import Inventory, Message

REGISTER_PATH = "/api/agent/v1/register"
CHECK_PATH = "/api/agent/v1/check"
TOKEN_PATH = "/api/agent/v1/token"  # noqa: S105 - an address
"""Takes ``TokenChange``."""


class RegisterRequest(Message, frozen=True):
    """Sent once with an install token; the reply carries the machine's own credential."""

    protocol: int
    agent_version: str
    token: str
    boot_id: str
    """Chosen by the agent once per machine and kept: a retried registration returns the same machine."""
    inventory: Inventory


class TokenChange(Message, frozen=True):
    """Gives an unused install token another secret, so that the one before, which stands on a command line, is worth
    nothing. Whoever asks chooses it, and so may ask again where no answer came."""

    token: str
    replacement: str
    """Of the form that the marketplace gives tokens, and as hard to guess."""


class TokenChanged(Message, frozen=True):
    """The replacement is good from now on, and the token before it is not."""


class CheckRequest(Message, frozen=True):
    """A machine as it would register, for the marketplace to say what it lacks. Nothing of it is kept."""

    protocol: int
    agent_version: str
    inventory: Inventory


class Requirement(Message, frozen=True):
    """One thing that a machine must have to be verified, and whether this one does."""

    title: str
    """"Memory of each GPU"."""
    needs: str
    has: str
    met: bool
    remedy: str
    """What the host can do about it, in a sentence."""


class CheckReply(Message, frozen=True):
    requirements: list[Requirement]


class RegisterReply(Message, frozen=True):
    machine_id: int
    credential: str
    sync_url: str
    """Absolute URL the agent posts its syncs to from now on."""
