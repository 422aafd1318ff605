"""The browser that the tests of the page share."""

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from streamguard.replay.page import render
from tests.replay.reports import Json

Show = Callable[[Json], Page]

# It asks nobody anything, and needs neither a screen nor rights.
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-sync"]


# Not for the whole run: while it is up the thread has a running event loop, which other tests may not expect.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window. Where there is none the tests that need it are skipped, unless REQUIRE_BROWSER=1."""
    program = shutil.which("chromium")
    if program is None:
        reason = "the page of a backtest needs chromium: apt-get install chromium"
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=OPTIONS)
        yield browser
        browser.close()


@dataclass
class Window:
    """A page, with what it complained of and asked for since it was shown."""

    page: Page
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


# One for all tests: to open a window takes longer than to try a page.
@pytest.fixture(scope="module")
def window(browser: Browser) -> Iterator[Window]:
    """A window to show pages in."""
    context = browser.new_context(reduced_motion="reduce")
    context.set_default_timeout(5000)
    page = context.new_page()
    window = Window(page)
    page.on("console", lambda message: window.complaints.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: window.complaints.append(str(error)))
    page.on("request", lambda request: window.requests.append(request.url))
    yield window
    context.close()


@pytest.fixture
def show(window: Window, tmp_path: Path) -> Iterator[Show]:
    """Shows the page of a report. It must complain of nothing, and ask for nothing but itself."""
    path = tmp_path / "report.html"
    window.complaints.clear()
    window.requests.clear()

    def shown(report: Json) -> Page:
        path.write_text(render(report), encoding="utf-8")
        window.page.set_viewport_size({"width": 1280, "height": 900})
        window.page.goto(path.as_uri())
        return window.page

    yield shown
    assert window.complaints == []
    assert window.requests == [path.as_uri()]
