"""Pages as a browser takes them apart, and as a real one shows them."""

from __future__ import annotations

import html.parser
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


class Page(html.parser.HTMLParser):
    """A page as a browser takes it apart."""

    def __init__(self, text: str | Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.contents: list[str] = []
        self.text = text.read_text(encoding="utf-8") if isinstance(text, Path) else text
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.contents.append("")

    def handle_data(self, data: str) -> None:
        # Scripts and styles have nothing but text in them.
        if self.cdata_elem:
            self.contents[-1] += data

    def content(self, tag: str, **attributes: str) -> str:
        """Return the text of the only element of this tag with exactly these attributes."""
        (index,) = (i for i, found in enumerate(self.tags) if found == (tag, attributes))
        return self.contents[index]

    @property
    def data(self) -> Any:
        text = self.content("script", type="application/json", id="data")
        return json.loads(text, parse_constant=pytest.fail)

    @property
    def pairs(self) -> Any:
        return self.data["pairs"]


def browse(page: Path, *options: str) -> Page:
    """Return the page's elements after its scripts have run in a real browser."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"needs a browser: {', '.join(BROWSERS)}")
    profile = f"--user-data-dir={page.parent / 'profile'}"
    headless = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=4000")
    command = [program, *headless, *options, profile, "--dump-dom", page.as_uri()]
    return Page(subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL, timeout=60))


def drive(page: Path, script: str, width: int = 1400) -> dict[str, Any]:
    """Run JavaScript that fills `out`, with the page in a frame of this width (`win`, `doc`)."""
    driver = page.with_name("driver.html")
    driver.write_text(
        f"""<!doctype html><iframe id=frame src="{page.name}" width={width} height=900></iframe>
        <script>addEventListener("load", async () => {{
          const out = {{}}, win = frame.contentWindow, doc = win.document;
          const $ = (id) => doc.getElementById(id), open = doc.querySelectorAll(".open");
          const shown = () => doc.querySelectorAll(".card:not([hidden])").length;
          const pick = (select, index) => {{
            $(select).selectedIndex = index; $(select).dispatchEvent(new Event("input")); }};
          const press = (key) => doc.dispatchEvent(new KeyboardEvent("keydown", {{ key }}));
          try {{ {script} }} catch (error) {{ out.error = String(error); }}
          document.body.dataset.out = JSON.stringify(out);
        }})</script>"""
    )
    tags = dict(browse(driver, "--allow-file-access-from-files").tags)
    result: dict[str, Any] = json.loads(tags["body"]["data-out"] or "")
    assert "error" not in result, result
    return result
