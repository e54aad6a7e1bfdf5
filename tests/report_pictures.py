"""README's pictures of a report, made anew from a fixture: `python -m tests.report_pictures` (needs Chromium)."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import offdecode
from tests.truth import FIXTURES

DOCS = Path(__file__).parent.parent / "docs"
_LOG = FIXTURES / "kafka-4.4.0-all-groups" / "log"
_GROUP = "geo-enrich-v2-59.reset"
_THREE_LINES = """() => {
    chosen.lines = chosen.lines.slice(0, 3);
    offsets();
    document.getElementById("partitions").open = false;
}"""


def main() -> None:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "report.html"
        offdecode.report(_LOG, title="Consumer groups of the shop, 23 November").save(path)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1160, "height": 860}, color_scheme="light")
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]")
        page.screenshot(path=DOCS / "report.png")
        number = page.evaluate("(name) => page.groups.rows.findIndex((row) => words[row[AT.group]] === name)", _GROUP)
        page.evaluate("showGroup", number)
        page.evaluate(_THREE_LINES)
        page.click("#group-zoom")
        page.set_viewport_size({"width": 1160, "height": 1000})
        page.evaluate("document.querySelector('#offsets').scrollIntoView({ behavior: 'instant', block: 'start' })")
        page.evaluate("scrollBy({ top: -60, behavior: 'instant' })")
        page.mouse.move(5, 5)
        page.wait_for_timeout(500)
        page.screenshot(path=DOCS / "report-group.png")
        browser.close()


if __name__ == "__main__":
    main()
