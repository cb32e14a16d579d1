"""Whether a container's SSH server accepts connections."""

import socket

_BANNER = b"SSH-"
_CONNECT_SECONDS = 0.5
_BANNER_SECONDS = 2.0


def ssh_answers(address: str, port: int) -> bool:
    """True once a server at the port greets as SSH does. A published port accepts before that, so reading is needed."""
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_SECONDS) as connection:
            connection.settimeout(_BANNER_SECONDS)
            return connection.recv(len(_BANNER)) == _BANNER
    except OSError:
        return False
