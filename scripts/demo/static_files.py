"""Whether the demo's collected static files are those that the sources have now."""

import hashlib
from pathlib import Path

from scripts.demo.layout import ROOT


def fingerprint() -> str:
    """Changes when one of our static files, the settings or the installed packages change."""
    digest = hashlib.sha256()
    folders = [ROOT / "static", *ROOT.glob("*/static")]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    for path in [*files, ROOT / "marketplace" / "settings.py", ROOT / ".venv" / ".installed"]:
        if path.exists():
            facts = path.stat()
            digest.update(f"{path} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def is_current(static_root: Path) -> bool:
    """Whether the last collection is still right."""
    stamp = static_root.with_suffix(".stamp")
    return stamp.exists() and stamp.read_text() == fingerprint()


def mark_current(static_root: Path) -> None:
    """Note that the collection was made just now."""
    static_root.with_suffix(".stamp").write_text(fingerprint())
