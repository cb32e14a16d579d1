"""Builds the icon sprite of the pages from the npm package @tabler/icons.

    npm install @tabler/icons@3.51.0 && python scripts/build_icon_sprite.py node_modules/@tabler/icons

The names below are all icons that templates may use through ``{% icon "name" %}``.
"""

import re
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parent.parent / "static/vendor/tabler-icons/sprite.svg"
_NAMES = """
activity adjustments-horizontal alert-circle alert-triangle arrow-down arrow-left arrow-right arrow-up bolt book
building-store calendar chart-bar check chevron-down chevron-right circle-check circle-x clock cloud-download code copy
cpu cpu-2 credit-card cube currency-dollar dashboard database device-desktop dots-vertical download external-link
eye file-invoice fingerprint folder gauge help heart-handshake history hourglass info-circle key link list loader-2 lock
login logout mail map-pin menu-2 moon network pencil player-play player-stop plug-connected plus point receipt refresh
rocket search server server-2 server-off settings shield-check shield-lock stack-2 sun tag temperature terminal-2 trash
trending-up upload user user-plus wallet wifi world x
"""


def symbol(icons_dir: Path, name: str) -> str:
    """The icon as a <symbol>; its colour and size come from where it is used."""
    svg = (icons_dir / "icons/outline" / f"{name}.svg").read_text()
    body = re.sub(r"^.*?<svg[^>]*>", "", svg, flags=re.DOTALL).replace("</svg>", "")
    body = " ".join(body.split()).replace('<path stroke="none" d="M0 0h24v24H0z" fill="none" /> ', "")
    return f'<symbol id="{name}" viewBox="0 0 24 24">{body}</symbol>'


def main() -> None:
    icons_dir = Path(sys.argv[1])
    names = sorted(set(_NAMES.split()))
    symbols = "\n".join(symbol(icons_dir, name) for name in names)
    TARGET.write_text(f'<svg xmlns="http://www.w3.org/2000/svg">\n{symbols}\n</svg>\n')
    print(f"{TARGET}: {len(names)} icons")


if __name__ == "__main__":
    main()
