"""``python -m dlperf.fit``: fit the learned model, print how good it is, write its weights and ``docs/dlperf.md``.

With ``--check`` nothing is written; the exit status is 1 if a file is not what would be written.
"""

import json
import sys
from pathlib import Path

from dlperf.catalogue import MODEL_FILE, learned_model
from dlperf.document import document, evaluation_lines
from dlperf.domain.fitting import fit, learned_features
from dlperf.evaluation import Evaluation, evaluations, examples

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "dlperf.md"
DIGITS = 6


def model_text(learned: Evaluation) -> str:
    """The file of weights."""
    weights = {
        workload: [float(f"{value:.{DIGITS}g}") for value in values]
        for workload, values in fit(examples(), learned_features).items()
    }
    errors = {
        measure: {"median": round(median, 4), "largest": round(largest, 4)}
        for measure, (median, largest) in learned.alone.items()
    }
    found = {"weights": weights, "errors": errors}
    return json.dumps(found, indent=2) + "\n"


def main(arguments: list[str]) -> int:
    """Write, or with ``--check`` compare, the weights and then the document that shows what they predict."""
    learned, baseline = evaluations()
    for line in evaluation_lines(learned, baseline):
        sys.stdout.write(line + "\n")
    check = "--check" in arguments
    same = _put(MODEL_FILE, model_text(learned), check=check)
    learned_model.cache_clear()
    same &= _put(DOCUMENT, document(learned, baseline), check=check)
    return 0 if same else 1


def _put(file: Path, text: str, *, check: bool) -> bool:
    """Whether the file is as it should be, which it is once it has been written."""
    if check:
        if file.read_text() == text:
            return True
        sys.stdout.write(f"{file} is not what python -m dlperf.fit would write\n")
        return False
    file.write_text(text)
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
