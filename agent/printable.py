"""Text from elsewhere (engine, registry, kernel, driver) on its way into a message to the server."""


def printable(text: str) -> str:
    """The text without control, direction-changing and half characters, on one line with single spaces.

    The server's database can't store NUL, JSON can't carry half a surrogate pair, and a terminal obeys escapes.
    """
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())
