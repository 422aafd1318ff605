"""What predictions carried, on the page, in a browser."""

import re
from typing import Any

from playwright.sync_api import Page, expect

from tests.replay import reports
from tests.replay.carried_reports import carried
from tests.replay.conftest import Show
from tests.replay.reports import HOSTILE
from tests.replay.test_page import overflow

# The texts of a picture that lie upon another of the same picture, or reach beyond it.
UNREADABLE = """() => [...document.querySelectorAll("#features svg[role=img]")].flatMap((picture) => {
    const room = picture.getBoundingClientRect();
    const boxes = [...picture.querySelectorAll("text")].map((text) => [text.textContent, text.getBoundingClientRect()]);
    const isOn = (one, other) =>
        one.left < other.right && other.left < one.right && one.top + 2 < other.bottom && other.top + 2 < one.bottom;
    const outside = boxes.filter(([, box]) => box.left < room.left - 2 || box.right > room.right + 2
        || box.top < room.top - 2 || box.bottom > room.bottom + 2).map(([text]) => ["outside", text]);
    return outside.concat(boxes.flatMap(([text, box], place) =>
        boxes.slice(place + 1).filter(([, other]) => isOn(box, other)).map(([other]) => [text, other])));
})"""


def names(page: Page) -> list[str]:
    """Of the features, in order."""
    return page.locator("#features h3 bdi").all_text_contents()


def test_features_are_in_order(show: Show) -> None:
    """Those that alerts name first, and marked; then what is farthest from training."""
    page = show(carried())
    assert names(page) == ["amount", "note: lower_case", "note: capitals", "country", "features: names of all fields"]
    rows = page.locator("#features .feature")
    marked = [row.locator("h3 .sign").count() == 1 for row in rows.all()]
    assert marked == [True, True, False, False, False]
    expect(rows.nth(0).locator(".told li")).to_have_text(
        "`amount` is larger than in training: median 71, 50 in training"
    )
    expect(rows.nth(0)).to_contain_text("number · PSI 6.1, since the onset")
    expect(rows.nth(1)).to_contain_text("step · 50% would still change, since the onset")
    expect(rows.nth(3)).to_contain_text("missing 10% (10% in training)")
    expect(page.locator("#carried-about")).to_contain_text(
        "60,300 predictions, against profile fraud-2026-01, in time bins of 1 d 8 h"
    )
    expect(page.locator("#carried-legend")).to_contain_text("before 2026-02-19 08:00 UTC")


def test_pictures_say_what_they_show(show: Show) -> None:
    """Axes have the values of edges, bars their names and shares; no text lies upon another, on a telephone either."""
    page = show(carried())
    amount = page.get_by_role("img", name="Shares of amount")
    assert amount.locator("text.tick").all_text_contents() == ["0", "50", "105"]
    titles = amount.locator("title").all_text_contents()
    assert re.fullmatch(r"50 to 55: [\d.]+% in training, [\d.]+% before, [\d.]+% since", titles[11])
    country = page.get_by_role("img", name="Shares of country").locator("text").all_text_contents()
    assert country[-1] == "and 10 further values"
    course = page.get_by_role("img", name="amount over time")
    assert course.locator(".sign").count() == 2
    for width in (1280, 800, 400):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate(UNREADABLE) == [], width
        assert overflow(page) <= 0, width


def test_all_of_a_feature_is_shown(show: Show) -> None:
    """By the keyboard, and the focus stays."""
    page = show(carried())
    more = page.get_by_role("button", name="2 more of it")
    more.press("Enter")
    assert names(page)[2:5] == ["note: capitals", "note", "note: words that training did not have"]
    less = page.get_by_role("button", name="Only the farthest")
    expect(less).to_be_focused()
    expect(less).to_have_attribute("aria-expanded", "true")
    less.press("Space")
    expect(page.locator("#features .feature")).to_have_count(5)


def test_many_features_are_shown_when_asked_for(show: Show) -> None:
    """Sixty at first."""
    page = show(carried(70))
    expect(page.locator("#features .feature")).to_have_count(60)
    page.get_by_role("button", name="Show all 75").press("Enter")
    expect(page.locator("#features .feature")).to_have_count(75)
    assert names(page)[:4] == ["amount", "note: lower_case", "note: capitals", "feature 069"]


def test_a_segment_has_its_own(show: Show) -> None:
    """With the chosen one, or by itself: the whole is no segment of outcomes. Of others nothing is kept."""
    page = show(carried())
    choice = page.locator("#carried-segment")
    expect(choice).to_have_value("1")
    choice.select_option("all predictions together")
    expect(page.locator("#features h3 .sign")).to_have_count(0)
    expect(page.locator("#features .feature").first).to_contain_text("PSI 0.6")
    page.get_by_label("Segment", exact=True).select_option(label="site=north")
    expect(choice).to_have_value("2")
    page.get_by_label("Segment", exact=True).select_option("site=south (1 alarm)")
    expect(page.locator("#carried-about")).to_contain_text("Of this segment nothing was kept")
    expect(page.locator("#features .feature")).to_have_count(0)
    page.get_by_label("Monitor", exact=True).select_option("amount")
    expect(page.locator("#carried")).to_be_hidden()


def test_what_scores_let_expect_is_beside_the_real_rate(show: Show) -> None:
    """In the chart of the segment, and in its legend."""
    page = show(carried())
    path = page.locator("#chart .expected").get_attribute("d") or ""
    assert path.count("M") == 2
    expect(page.locator("#legend")).to_contain_text("expected from scores")
    page.get_by_label("Segment", exact=True).select_option("site=south (1 alarm)")
    expect(page.locator("#legend")).not_to_contain_text("expected from scores")


def test_another_setting_has_alerts_of_its_own(show: Show) -> None:
    """Without any, all that came is one, in colour."""
    page = show(carried())
    page.get_by_label("Setting", exact=True).select_option("threshold 15%")
    expect(page.locator("#features h3 .sign")).to_have_count(0)
    expect(page.locator("#features .before")).to_have_count(0)
    expect(page.locator("#carried-legend")).to_contain_text("live")
    expect(page.locator("#features .feature").first).to_contain_text("number · PSI 2")


def test_an_alert_of_what_predictions_carried(show: Show) -> None:
    """Says what has moved, with its example, and leads on; an alert of outcomes leads to it."""
    page = show(carried())
    page.locator("#alerts summary", has_text="Alarmnote: lower_case, amount").click()
    detail = page.locator("#alerts .detail")
    expect(detail).to_contain_text("Predictions are not prepared as training was, since about 2026-02-20 09:07:12 UTC.")
    expect(detail.locator("li").first).to_contain_text("93.1% of `note` would change under lower_case")
    expect(detail.locator("li").first).to_contain_text(
        "first r17 (partition 0, offset 17): training makes made, it carries came"
    )
    expect(detail).to_contain_text("(PSI 6.1, KS 0.4, 870 predictions)")
    expect(detail).to_contain_text("Farthest from what is usual, in standard deviations of training: amount 1.5.")
    expect(detail).to_contain_text("Scores let expect 6.1% errors meanwhile, by 4,200 predictions.")
    detail.get_by_role("button", name="Show what predictions carried").click()
    expect(page.locator("#carried-heading")).to_be_in_viewport()

    page.locator("#alerts summary", has_text="2026-02-20 21:36").click()
    page.get_by_role("button", name="What predictions carried: Alarm").click()
    expect(page.locator("#alerts details[open] summary").first).to_contain_text("2026-02-20 09:36")


def test_without_outcomes_predictions_are_shown(show: Show) -> None:
    """They need no label."""
    report: Any = carried()
    report["monitors"][0]["segments"] = []
    report["outcomes"]["released"] = 0
    page = show(report)
    expect(page.locator("h1")).to_contain_text("4 alarms in 90 days")
    expect(page.locator("#features .feature")).to_have_count(5)


def test_markup_in_names_of_features_is_text(show: Show) -> None:
    """And in their values, and in what alerts say of them."""
    page = show(reports.hostile(carried()))
    for button in page.locator("#features button").all():
        button.click()
    page.locator("#alerts summary").first.click()
    shown = HOSTILE.replace("\0", "\ufffd").replace("\ud83d", "\ufffd")
    assert page.evaluate("window.hit === undefined")
    assert page.locator("img, b, body script:not([id]):not([type=module])").count() == 0
    for place in ("#features", "#carried-about", "#carried-segment"):
        text = page.locator(place).evaluate("element => element.textContent.toWellFormed()")
        assert shown in text.replace("\0", "\ufffd"), place
    assert overflow(page) <= 0
