"""What a backtest compares: every combination, each of them legal, and nothing that reads other outcomes."""

from typing import Any

import pytest

from streamguard.config import Config, parse, variants
from streamguard.errors import ConfigError

PERCENT = "monitors.fr.aud.threshold.max_mismatch_percent"
BUDGET = "budget.false_alarms_per_month"


def config(**backtest: Any) -> Config:
    """A monitor whose name holds a dot, with a threshold and a detector."""
    return parse(
        {
            "log": {"kind": "embedded", "path": "a.db"},
            "join": {"after": "1h"},
            "monitors": [
                {
                    "name": "fr.aud",
                    "threshold": {"max_mismatch_percent": 5, "window": "1h"},
                    "detectors": [{"type": "adwin"}],
                },
                {"name": "fr", "threshold": {"max_mismatch_percent": 7}},
            ],
            "backtest": backtest,
        }
    )


def test_without_a_section_there_is_one_setting() -> None:
    """As configured."""
    given = config()
    (only,) = variants(given)
    assert (only.name, only.changes, only.config) == ("as configured", {}, given)


def test_a_sweep_is_every_combination() -> None:
    """Each named by what differs, and nothing else changed."""
    first, *rest = variants(config(sweep={PERCENT: [3, 8], BUDGET: [0.5, 2]}))
    assert first.name == "as configured"
    assert [each.name for each in rest] == [
        "max_mismatch_percent 3, false_alarms_per_month 0.5",
        "max_mismatch_percent 3, false_alarms_per_month 2",
        "max_mismatch_percent 8, false_alarms_per_month 0.5",
        "max_mismatch_percent 8, false_alarms_per_month 2",
    ]
    for each in rest:
        monitor, other = each.config.monitors
        assert monitor.threshold is not None
        assert monitor.threshold.max_mismatch_percent == each.changes[PERCENT]
        assert each.config.budget.false_alarms_per_month == each.changes[BUDGET]
        assert monitor.threshold.window == "1h"
        assert other == first.config.monitors[1]


def test_alternatives_may_change_lists_and_fill_what_is_empty() -> None:
    """A place of a list, a list as a whole, a section that was null."""
    changes = {
        "monitors.fr.aud.detectors.0.delta": 0.1,
        "monitors.fr.detectors": [{"type": "budgeted"}],
        "monitors.fr.unlabelled.accept_after": "3d",
        "alerts.cooldown": "2h",
    }
    _, found = variants(config(alternatives=[{"name": "mine", "changes": changes}]))
    aud, other = found.config.monitors
    assert found.name == "mine"
    assert aud.detectors[0].delta == 0.1  # type: ignore[union-attr]
    assert other.budgeted[0].type == "budgeted"
    assert other.unlabelled is not None
    assert other.unlabelled.accept_after == 3 * 86_400_000
    assert found.config.alerts.cooldown_ms == 7_200_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"monitors.fr.aud.split_by": ["x"]}, "split_by of monitor 'fr.aud' cannot be compared in one pass"),
        ({"monitors.fr.aud.cohorts": True}, "cohorts of monitor 'fr.aud' cannot be compared"),
        ({"monitors.x.severity": "info"}, "names no monitor; there is 'fr.aud', 'fr'"),
        ({"monitors.fr.aud.treshold": {}}, r"unknown setting monitors\[0\].treshold; did you mean"),
        ({"monitors.fr.aud.threshold.window": -1}, r"monitors\[0\].threshold.window: -1 is neither"),
        ({"monitors.fr.aud.detectors.1.delta": 1}, "'1' is no place of a list of 1, counted from 0"),
        ({"monitors.fr.aud.detectors.x": 1}, "'x' is no place of a list"),
        ({"monitors.fr.aud.detectors.²": 1}, "'²' is no place of a list"),
        ({"monitors.fr.aud.severity.x": 1}, "severity is critical, and no section"),
        ({"log.group": "x"}, "'log.group' cannot be compared; paths begin with"),
        ({"budget": {}}, "'budget' cannot be compared"),
        ({"alerts.cooldown": 30}, "must say its unit"),
    ],
)
def test_a_change_that_cannot_be_says_why(changes: dict[str, Any], words: str) -> None:
    """With the name of the alternative that it is in."""
    with pytest.raises(ConfigError, match=f"backtest, 'mine': .*{words}"):
        variants(config(alternatives=[{"name": "mine", "changes": changes}]))


def test_a_monitor_may_be_named_like_a_setting_of_another() -> None:
    """What follows the name decides which is meant."""
    threshold = {"max_mismatch_percent": 10}
    path = "monitors.m.threshold.{}"
    monitors = [{"name": name, "threshold": threshold} for name in ("m", "m.threshold")]
    changes = {path.format("max_mismatch_percent"): 20, path.format("severity"): "info"}
    document = {"log": {"kind": "embedded", "path": "x.db"}, "join": {"after": "1h"}, "monitors": monitors}
    _, found = variants(parse({**document, "backtest": {"alternatives": [{"name": "mine", "changes": changes}]}}))
    one, other = found.config.monitors
    assert one.threshold is not None
    assert (one.threshold.max_mismatch_percent, other.severity) == (20, "info")


def test_the_same_twice_is_refused() -> None:
    """Two rows that must be equal only look as if something were compared."""
    again = [{"name": "a", "changes": {BUDGET: 2}}, {"name": "b", "changes": {BUDGET: 2}}]
    with pytest.raises(ConfigError, match="'b' changes the same as another"):
        variants(config(alternatives=again))


@pytest.mark.parametrize(
    ("backtest", "words"),
    [
        ({"sweep": {PERCENT: []}}, "needs at least one value"),
        ({"sweep": {PERCENT: [2**64]}}, "whole numbers of 64 bits at most"),
        ({"alternatives": [{"name": "a", "changes": {PERCENT: {"x": -(2**70)}}}]}, "whole numbers of 64 bits at most"),
        ({"sweep": {PERCENT: list(range(1, 50)), BUDGET: list(range(1, 10))}}, "more than 200 settings, but makes 441"),
        ({"alternatives": [{"name": "a", "changes": {}}]}, "changes"),
        (
            {"alternatives": [{"name": "a", "changes": {BUDGET: 2}}, {"name": "a", "changes": {BUDGET: 3}}]},
            "must be unique, but 2 settings are named 'a'",
        ),
    ],
)
def test_the_section_itself_is_checked_when_it_is_read(backtest: dict[str, Any], words: str) -> None:
    """Without looking at monitors."""
    with pytest.raises(ConfigError, match=words):
        config(**backtest)
