"""The picture of docs/backtest.md, made of the demo's data: `python -m tests.replay.picture`."""

import shutil
from importlib.resources import files
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright

import streamguard
from streamguard.demo.stream import story
from streamguard.replay.page import render
from streamguard.replay.truth import Incident
from tests.replay.conftest import OPTIONS

TARGET = Path(__file__).parents[2] / "docs" / "backtest.png"
THRESHOLD = "monitors.shuttle.threshold"


def main() -> None:
    """Replay the story, and look at its report."""
    told = story()
    sides = [[each.value or b"" for each in told.records if each.topic == name] for name in ("predictions", "labels")]
    settings = yaml.safe_load(files("streamguard.demo").joinpath("demo.yaml").read_text())
    settings["backtest"] = {"sweep": {f"{THRESHOLD}.max_mismatch_percent": [4, 8], f"{THRESHOLD}.window": [500, 2000]}}
    truth = [Incident("scaler skipped at one site", told.fault_at_ms)]
    normal = "2026-01-05T00:00:00Z", "2026-01-06T12:00:00Z"
    found = streamguard.backtest(settings, *sides, truth=truth, normal=normal)
    found.title = "demo.yaml"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=OPTIONS)
        page = browser.new_page(viewport={"width": 1100, "height": 1180})
        page.set_content(render(found.document()))
        page.screenshot(path=TARGET)
        browser.close()


if __name__ == "__main__":
    main()
