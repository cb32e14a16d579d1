"""What does not fit about a machine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something that does not fit, with the evidence in plain words."""

    code: str
    evidence: str
