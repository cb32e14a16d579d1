"""Takes README's picture of the search page from the running demo: `make screenshot`."""

import json
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "search.png"
OPTIONS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--disable-background-networking"]


def main() -> int:
    """0 when docs/search.png was written; 1 when no demo runs."""
    facts = ROOT / "var" / "demo.json"
    if not facts.exists():
        print("No demo is running: start it with make demo DETACH=1", file=sys.stderr)
        return 1
    demo = json.loads(facts.read_text())
    TARGET.parent.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=OPTIONS)
        page = browser.new_page(viewport={"width": 1360, "height": 900})
        client = demo["accounts"]["client"]
        page.goto(f"{demo['url']}/accounts/login/?next=/")
        page.fill("input[name=login]", client["email"])
        page.fill("input[name=password]", client["password"])
        page.press("input[name=password]", "Enter")
        page.wait_for_url(f"{demo['url']}/")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=TARGET)
        browser.close()
    print(f"wrote {TARGET.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
