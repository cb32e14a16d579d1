"""``manage.py known_answer``: keep a challenge's answer that was computed on a machine that the operator trusts.

    python3 -m dlperf.challenge --nonce NONCE --side 1024 ... --gpus 8 > answer.json      on that machine
    manage.py known_answer NONCE PLAN answer.json          PLAN is JSON with the same sizes

A machine that is to compute the same plan with as many GPUs is asked it once, before any other question; what it comes
to in the steps that all have in common must then be the same.
"""

from pathlib import Path
from typing import Any

import msgspec
from django.core.management.base import BaseCommand, CommandError, CommandParser

from dlperf.challenge.answers import common_answer, decode_commitment
from dlperf.challenge.plan import Plan
from dlperf.challenge.verify import commitment_problem
from hosting.services.challenge_questions import question_store


class Command(BaseCommand):
    """Checks that the answer belongs to the question, then stores it."""

    help = "Keep a challenge's answer that was computed on a machine that the operator trusts."

    def add_arguments(self, parser: CommandParser) -> None:
        """What was asked, and the line that the program printed."""
        parser.add_argument("nonce", help="hexadecimal digits")
        parser.add_argument("plan", help="JSON: side, depth, products, passes, steps, common_steps, buffer_rows")
        parser.add_argument("file", type=Path)

    def handle(self, *_args: Any, **options: Any) -> None:
        """Store it, or say what is wrong."""
        try:
            plan = msgspec.json.decode(options["plan"], type=Plan)
            told = decode_commitment(options["file"].read_bytes().strip())
            wrong = commitment_problem(told, nonce=bytes.fromhex(options["nonce"]), gpus=len(told.gpus))
            if wrong:
                raise ValueError(wrong)
            question_store(nonce=options["nonce"], plan=plan, answer=common_answer(told.gpus))
        except (ValueError, OSError, msgspec.DecodeError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"Kept: an answer of {len(told.gpus)} GPUs.")
