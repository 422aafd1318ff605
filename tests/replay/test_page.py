"""The page of a backtest, in text and in a browser."""

import json
import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from streamguard.replay.page import render
from tests.replay import carried_reports, reports
from tests.replay.conftest import Show
from tests.replay.reports import HOSTILE, Json

REPORTS: dict[str, Callable[[], Json]] = {
    "ordinary": reports.ordinary,
    "empty": reports.empty,
    "nothing": reports.blank,
    "partial": reports.partial,
    "many": reports.many,
    "hostile": reports.hostile,
    "carried": carried_reports.carried,
    "carried hostile": lambda: reports.hostile(carried_reports.carried()),
}

# Whether the chart, if there is one, is drawn for the room that it has.
AS_WIDE = """() => {
    const plot = document.querySelector(".plot");
    return plot === null || plot.viewBox.baseVal.width === plot.clientWidth;
}"""

# The texts of the chart that lie upon another.
OVERLAPS = """() => {
    const texts = [...document.querySelectorAll("#chart text")].filter((text) => text.textContent !== "");
    const boxes = texts.map((text) => [text.textContent, text.getBoundingClientRect()]);
    const isOn = (one, other) =>
        one.left < other.right && other.left < one.right && one.top + 2 < other.bottom && other.top + 2 < one.bottom;
    return boxes.flatMap(([text, box], place) =>
        boxes.slice(place + 1).filter(([, other]) => isOn(box, other)).map(([other]) => [text, other]));
}"""


def data(page: str) -> Any:
    """The report that a page carries."""
    (text,) = re.findall(r'<script id="report" type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(text)


def texts(found: Locator) -> list[str]:
    """What the elements say, one line each."""
    return [" ".join(text.split()) for text in found.all_inner_texts()]


def rate_line(page: Page) -> str | None:
    """The path of the chart's main line."""
    return page.locator("#chart .rate").get_attribute("d")


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.parametrize("name", REPORTS)
def test_a_page_carries_its_report(name: str) -> None:
    """Whatever the report says, it ends neither the script nor the page."""
    report = REPORTS[name]()
    page = render(report)

    assert data(page) == report
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    assert not {"\u2028", "\u2029", "\0"} & set(page)
    page.encode()


def test_a_page_names_no_other_place() -> None:
    """It works offline, and says so to the browser."""
    page = render(reports.blank())

    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:" in page


def test_a_page_takes_no_number_that_json_has_no_word_for() -> None:
    """The page could not be read; better to say so where it is written."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        render({**reports.blank(), "counts": {"predictions": {"late": math.nan}, "labels": {}}})


def test_a_report_may_look_like_a_template() -> None:
    """Slots in the report are text."""
    page = render({**reports.blank(), "config": "{{script}} {{nobody}}"})

    assert data(page)["config"] == "{{script}} {{nobody}}"


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_drawn(show: Show, name: str) -> None:
    """On a desk and on a telephone, without a complaint, no wider than the window, and no text upon another."""
    page = show(REPORTS[name]())
    expect(page.locator("h1")).not_to_be_empty()
    expect(page.locator("#footer")).to_contain_text("streamguard 0.1.0")
    for width in (1280, 400):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(AS_WIDE)
        assert overflow(page) <= 0, width
        assert page.evaluate(OVERLAPS) == [], width


def test_the_head_says_what_was_found(show: Show) -> None:
    """For whoever has a minute."""
    page = show(reports.ordinary())

    expect(page).to_have_title("shuttle.yaml - streamguard backtest")
    expect(page.locator("h1")).to_have_text("3 alarms in 90 days; the first at 2026-01-28 07:12 UTC.")
    expect(page.locator("#verdict")).to_have_text(
        "1 of 1 known incident found, 9 h 27 min after the beginning (median); 1 false alarm, 0.33 a month."
    )
    expect(page.locator("#notes li")).to_have_count(2)
    expect(page.locator("#facts")).to_contain_text("ideal: Live and replay are bound to agree")
    assert "consumed 645,203 633,345" in texts(page.locator("#counts tr"))
    expect(page.locator("#partial")).to_be_hidden()


def test_a_part_says_so(show: Show) -> None:
    """Above everything else."""
    page = show(reports.partial())

    expect(page.get_by_role("alert")).to_have_text("A part only: interrupted at event time 2026-03-03T00:00:00.000Z")
    expect(page.locator("#alerts-about")).to_contain_text("3 further alerts left out")


def test_nothing_is_said_of_nothing(show: Show) -> None:
    """Without outcomes there is no chart, and no "no alarms"."""
    page = show(reports.empty())

    expect(page.locator("h1")).to_have_text("No outcome, so nothing could be judged.")
    expect(page.locator("#chart")).to_have_text("No outcomes to draw.")
    page.locator("#chart").press("ArrowRight")
    page.get_by_label("Monitor", exact=True).select_option("silent")
    expect(page.locator("#classes-about")).to_have_text("No segment.")


def test_a_segment_is_chosen(show: Show) -> None:
    """In the list, in the table, and by the keyboard: chart, alerts and classes are of it."""
    page = show(reports.ordinary())
    expect(page.locator("#chart-heading")).to_have_text("fraud: site=west")
    expect(page.locator("#alerts summary")).to_have_count(5)
    west = rate_line(page)

    page.get_by_label("Segment", exact=True).select_option("site=south (1 alarm)")
    expect(page.locator("#chart-heading")).to_have_text("fraud: site=south")
    expect(page.locator("#classes-about")).to_have_text("site=south")
    assert texts(page.locator("#alerts summary")) == [
        "2026-01-28 07:12 UTC Alarm 4.82% → 8.05% fraud, site=south, threshold",
        "2026-01-29 14:24 UTC Resolved after 1 d 7 h fraud, site=south, threshold",
    ]
    south = rate_line(page)

    page.locator("#segments tr", has_text="site=north").click()
    expect(page.get_by_label("Segment", exact=True)).to_have_value("0")
    page.get_by_role("button", name="site=west").press("Enter")
    expect(page.get_by_role("button", name="site=west")).to_be_focused()
    assert south != west == rate_line(page)


def test_a_monitor_is_chosen(show: Show) -> None:
    """Its losses may be no shares."""
    page = show(reports.ordinary())
    page.get_by_label("Monitor", exact=True).select_option("amount")

    expect(page.locator("#chart-heading")).to_have_text("amount: all outcomes")
    expect(page.locator("#about")).to_have_text("mean loss (absolute); checks: adwin")
    expect(page.locator("#readout")).to_contain_text("1,338")
    expect(page.locator("#alerts summary")).to_have_text(re.compile(r"Improvement1,384 → 1,263amount"))
    expect(page.locator("#classes")).to_have_text("No classes.")


def test_a_setting_is_chosen(show: Show) -> None:
    """In the list and in the table: the headline, the threshold and the alerts are of it."""
    page = show(reports.ordinary())
    expect(page.locator("#chart")).to_contain_text("alarm above 8%")
    expect(page.locator("#chart")).to_contain_text("scaler skipped: found after 9 h 27 min")

    page.get_by_label("Setting", exact=True).select_option("threshold 6%")
    expect(page.locator("#title")).to_have_text("shuttle.yaml: threshold 6%")
    expect(page.locator("h1")).to_contain_text("2 alarms")
    expect(page.locator("#chart")).to_contain_text("alarm above 6%")
    expect(page.locator("#chart")).to_contain_text("resolved at 5%")
    expect(page.locator("#alerts summary")).to_have_count(2)

    page.get_by_role("button", name="threshold 15%").press("Space")
    expect(page.locator("h1")).to_have_text("No alarms in 90 days.")
    expect(page.locator("#verdict")).to_contain_text("0 of 1 known incident found; no false alarms")
    expect(page.locator("#chart")).to_contain_text("scaler skipped: missed")
    expect(page.locator("#chart")).to_contain_text("none here")


def test_settings_are_sorted(show: Show) -> None:
    """By any column; what has no value is last, and the references, which are no settings, after that."""
    page = show(reports.ordinary())
    names = page.locator("#settings tbody td:first-child > :first-child")
    given = texts(names)
    assert given[-2:] == ["always alarms", "never alarms"]

    sort = page.get_by_role("columnheader", name="Delay, median")
    sort.get_by_role("button").click()
    expect(sort).to_have_attribute("aria-sort", "descending")
    assert texts(names) == [given[place] for place in (0, 3, 1, 4, 2, 5, 6)]
    sort.get_by_role("button").press("Enter")
    expect(sort).to_have_attribute("aria-sort", "ascending")
    assert texts(names) == [given[place] for place in (4, 1, 3, 0, 2, 5, 6)]


def test_one_of_many_segments_is_found(show: Show) -> None:
    """The one that moved is on top, others are looked for."""
    page = show(reports.many())
    rows = page.locator("#segments tbody tr")
    expect(rows).to_have_count(200)
    expect(rows.first).to_contain_text("country-199")
    expect(page.locator("#segments-about")).to_have_text("12 further segments left out of this report.")

    page.get_by_label("Find a segment").fill("country-01")
    expect(rows).to_have_count(10)
    page.get_by_label("Order of segments").select_option("Segment")
    expect(rows.first).to_contain_text("version=0, country=country-010")
    rows.first.click()
    expect(page.locator("#chart-heading")).to_have_text("fraud: version=0, country=country-010")
    page.get_by_label("Find a segment").fill("nowhere")
    expect(rows).to_have_count(0)
    expect(page.get_by_label("Segment", exact=True)).to_have_value("10")


def test_the_chart_zooms(show: Show) -> None:
    """By dragging and by the keyboard, and back."""
    page = show(reports.ordinary())
    chart = page.locator("#chart")
    view = page.locator("#readout dd").first
    whole, reset = rate_line(page), page.get_by_role("button", name="Reset zoom")
    expect(view).to_have_text("2026-01-01 00:00 to 2026-04-01 00:00 UTC")
    expect(reset).to_be_disabled()

    box = chart.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 120)
    page.mouse.down()
    page.mouse.move(box["x"] + 600, box["y"] + 130)
    expect(page.locator("#cursor .drag")).to_be_attached()
    page.mouse.up()
    page.mouse.move(0, 0)
    expect(view).to_have_text(re.compile(r"^2026-01-2\d .* to 2026-02-1\d "))
    assert rate_line(page) != whole

    reset.click()
    expect(view).to_have_text("2026-01-01 00:00 to 2026-04-01 00:00 UTC")
    assert rate_line(page) == whole
    chart.press("+")
    expect(reset).to_be_enabled()
    chart.press("-")
    expect(reset).to_be_disabled()
    chart.press("+")
    chart.press("Escape")
    assert rate_line(page) == whole


def test_the_chart_is_read(show: Show) -> None:
    """By pointing and by the keyboard, bin by bin."""
    page = show(reports.ordinary())
    chart = page.locator("#chart")
    bins = page.locator("#readout dd")
    chart.press("Home")
    expect(bins.first).to_have_text("2026-01-01 00:00 to 06:00 UTC")
    chart.press("ArrowRight")
    expect(bins.first).to_have_text("2026-01-01 06:00 to 12:00 UTC")
    assert re.fullmatch(r"[\d.]+% \([\d.]+% to [\d.]+%\)", bins.nth(1).inner_text())
    assert re.fullmatch(r"[\d,]+ of [\d,]+ \([\d.]+%\)", bins.nth(3).inner_text())
    assert bins.nth(4).inner_text() == "12 min 20 s; 90% within 1 h 10 min"

    chart.hover(position={"x": 640, "y": 120})
    expect(bins.first).to_have_text(re.compile(r"^2026-02-1\d "))


def test_a_mark_opens_its_alert(show: Show) -> None:
    """By the pointer and by the keyboard."""
    page = show(reports.ordinary())
    marks = page.get_by_role("button", name=re.compile(r"^(Alarm|Goes on|Resolved) 2026"))
    opened = page.locator("#alerts details[open] summary")
    expect(marks).to_have_count(5)

    marks.first.click()
    expect(opened).to_have_text(re.compile("2026-02-20 15:17 UTC"))
    expect(opened).to_be_focused()
    expect(opened).to_be_in_viewport()
    opened.press("Enter")
    expect(opened).to_have_count(0)

    marks.first.press("ArrowRight")
    expect(marks.nth(1)).to_be_focused()
    marks.nth(1).press("Enter")
    expect(opened).to_have_text(re.compile("Goes on"))


def test_an_alert_says_all(show: Show) -> None:
    """In words, where to look, how to go on, and field by field."""
    page = show(reports.ordinary())
    page.locator("#alerts summary").first.click()
    detail = page.locator("#alerts .detail")

    expect(detail).to_contain_text(
        "The mismatch rate rose from 4.79% (95% interval 4.52% to 5.07%, 22,480 outcomes) "
        "to 8.05% (95% interval 6.89% to 9.31%, 2,000 outcomes), since about 2026-02-20 09:50:24 UTC."
    )
    expect(detail.locator("li")).to_have_text(
        "83% of it: predicted fraud, labelled honest (0.3% -> 8.1% of the outcomes)"
    )
    expect(detail.locator(".command code")).to_have_text(f"streamguard explain {'03' * 16} .")
    detail.get_by_role("button", name="Copy").click()
    expect(detail.locator(".command button")).to_have_text(re.compile("Copied|Selected"))
    expected = {name for name in reports.ordinary()["alerts"][0] if name != "setting"}
    assert set(texts(detail.locator("dt"))) == expected


def test_alerts_of_all_segments_are_listed(show: Show) -> None:
    """And each leads to its chart."""
    page = show(reports.ordinary())
    page.get_by_label("of all monitors and segments").check()
    expect(page.locator("#alerts summary")).to_have_count(8)

    page.locator("#alerts summary").last.click()
    page.get_by_role("button", name="Show in the chart").click()
    expect(page.locator("#chart-heading")).to_have_text("amount: all outcomes")
    expect(page.get_by_role("button", name=re.compile("^Improvement 2026"))).to_be_visible()
    expect(page.get_by_role("button", name="Reset zoom")).to_be_enabled()


def test_hostile_texts_are_texts(show: Show) -> None:
    """Names and values of the user's run nowhere, and are shown as they are."""
    page = show(reports.hostile())
    page.get_by_label("of all monitors and segments").check()
    page.locator("#alerts summary").nth(3).click()
    page.locator("#chart").press("ArrowRight")

    shown = HOSTILE.replace("\0", "\ufffd").replace("\ud83d", "\ufffd")
    assert page.evaluate("window.hit === undefined")
    assert page.locator("img, b, body script:not([id]):not([type=module])").count() == 0
    for place in ("#title", "#notes", "#facts", "#chart-heading", "#alerts", "#settings", "#segments", "#classes"):
        text = page.locator(place).evaluate("element => element.textContent.toWellFormed()")
        assert shown in text.replace("\0", "\ufffd"), place
    assert overflow(page) <= 0


def test_numbers_may_be_huge_or_missing(show: Show) -> None:
    """Digits end where they are no help."""
    report: Json = reports.ordinary()
    segment = report["monitors"][1]["segments"][0]
    segment |= {"outcomes": 10**300, "rate": 1.5e300}
    series = segment["series"]
    series["rate"] = [None if bin_ % 3 else 1e290 * (bin_ + 1) for bin_ in range(len(series["rate"]))]
    series["low"] = series["high"] = series["window"] = [None] * len(series["rate"])
    series["outcomes"] = [2**60] * len(series["rate"])
    report["settings"][0] |= {"per_month": None, "notices": 10**17}
    page = show(report)
    page.get_by_label("Monitor", exact=True).select_option("amount")

    assert texts(page.locator("#segments tbody td"))[1] == "1.00e+300"
    expect(page.locator("#settings")).to_contain_text("1.00e+17")
    assert "NaN" not in page.locator("body").inner_text()
    assert overflow(page) <= 0


def test_the_browser_forbids_what_the_page_might_ask_for(browser: Browser) -> None:
    """Even if something got in, nothing would get out."""
    page = browser.new_page()
    page.set_content(render(reports.ordinary()))
    refused = page.evaluate("""() => new Promise((resolve) => {
        document.addEventListener("securitypolicyviolation", (event) => resolve(event.effectiveDirective));
        fetch("http://127.0.0.1:9/").catch(() => null);
    })""")
    page.close()

    assert refused == "connect-src"
