"""``python -m dlperf.challenge.ask QUESTION``: put one question to the program that runs in the same container.

Prints the answer as one line and exits with 0; with 4 after a sentence on stderr where there is none. Waits until the
program listens.
"""

import json
import socket
import sys
import time

from dlperf.challenge.command import EXIT_FAILED, SOCKET

_LOOK_SECONDS = 0.1


def main(arguments: list[str]) -> int:
    """The command line: the question, and where the program listens unless it is the usual place."""
    question, place = arguments[0], (arguments[1:] or [SOCKET])[0]
    line = _asked(question, place)
    try:
        answer = json.loads(line)
    except ValueError:
        answer = {"error": "The program ended before it answered."}
    if "error" in answer:
        sys.stderr.write(f"{answer['error']}\n")
        return EXIT_FAILED
    sys.stdout.write(f"{line}\n")
    return 0


def _asked(question: str, place: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
        while True:
            try:
                caller.connect(place)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                time.sleep(_LOOK_SECONDS)
        caller.sendall(question.encode() + b"\n")
        with caller.makefile("r") as answers:
            return answers.readline().strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
