"""What a container runs, as people write it: the image's name and its arguments."""

import re

MAX_IMAGE_CHARS = 1024
MAX_ARGS = 256
MAX_ARG_CHARS = 32_768

# The grammar of an image reference: optional registry, path components, optional tag, optional digest.
_PATH = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?/)?"
_IMAGE = re.compile(rf"{_HOST}{_PATH}(?:/{_PATH})*(?::[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}})?(?:@sha256:[0-9a-f]{{64}})?")


def image_problem(image: str) -> str:
    """Why this names no image; empty when it does."""
    if not image:
        return "Name the image to run, like ubuntu:22.04 or pytorch/pytorch."
    if len(image) > MAX_IMAGE_CHARS or not _IMAGE.fullmatch(image):
        return f"{image[:80]!r} is not an image name. It looks like ubuntu:22.04 or registry.example.com/team/app:tag."
    return ""


def text_problem(what: str, text: str, limit: int) -> str:
    """Why a text can't be given to a container: longer than ``limit`` characters, or with a NUL; empty when it can."""
    if len(text) > limit:
        return f"{what} has {len(text)} characters; {limit} is the most."
    return f"{what} contains a NUL character." if "\0" in text else ""


def args_problem(args: tuple[str, ...]) -> str:
    """Why these can't be a container's arguments; empty when they can."""
    if len(args) > MAX_ARGS:
        return f"At most {MAX_ARGS} arguments."
    return next((p for arg in args if (p := text_problem("An argument", arg, MAX_ARG_CHARS))), "")
