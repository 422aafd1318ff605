"""A backtest with a `data` section, from the alerts to what is said of them."""

import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from streamguard.config import Config
from streamguard.core.fields import parse_time_ms
from streamguard.errors import ConfigError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record, TopicInfo
from streamguard.replay.backtesting import Question
from streamguard.replay.explain import explain
from streamguard.replay.page import render
from streamguard.replay.result import Backtest
from streamguard.replay.telling import told
from tests.replay import carrying
from tests.replay.carrying import GAP_MS, MOVED, START_MS
from tests.replay.helpers import history_of, replayed
from tests.replay.test_running import files, run

DOCS = Path(__file__).parents[2] / "docs" / "backtest.md"
MOVED_MS = START_MS + MOVED.start * GAP_MS


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of training."""
    return carrying.profile(tmp_path_factory.mktemp("profile"))


@pytest.fixture(scope="module")
def config(profile: Path) -> Config:
    """With one more setting to compare."""
    return carrying.config(profile, backtest={"sweep": {"monitors.m.data.tolerance": [0.49]}})


@pytest.fixture(scope="module")
def found(config: Config) -> Backtest:
    """The whole story."""
    return replayed(config, list(carrying.predictions()), list(carrying.labels()))


def of_data(result: Backtest, status: str) -> dict[str, Any]:
    """The first alert of what predictions carry."""
    return next(each for each in result.alerts if "features" in each and each["status"] == status)


def test_the_report_holds_what_predictions_carried(found: Backtest) -> None:
    """Of the segment and each column: from the first onset on by itself, and far from training since."""
    (monitor,) = found.document()["monitors"]
    carried = monitor["carried"]
    assert (carried["profile"], carried["window_ms"], carried["left_out"]) == ("p-1", 60_000, 0)
    (segment,) = carried["segments"]
    width, since = segment["width_ms"], segment["since_ms"]
    assert since <= parse_time_ms(of_data(found, "raised")["onset"]) < since + width
    columns = {
        (column["feature"], column["trait"]): live
        for column, live in zip(carried["columns"], segment["columns"], strict=True)
    }
    place = (MOVED_MS - segment["start_ms"]) // width
    amount, age = columns["amount", None], columns["age", None]
    assert max(amount["distances"][:place]) < 0.5
    assert min(amount["distances"][place + 1 : place + 10]) > 2
    assert amount["distance_since"] > 1 > columns["country", None]["distance"]
    assert max(age["missing"]) == pytest.approx(0.5, abs=0.1)
    assert columns["note", "lower_case"]["changed"][0] == 0
    assert columns["note", "lower_case"]["changed"][place + 1] > 0.9
    # By the profile one of ten predictions with such scores is wrong.
    assert segment["expected"] == pytest.approx([0.1] * len(segment["expected"]), abs=0.001)


def test_the_keys_are_documented(found: Backtest) -> None:
    """All that `carried` has, and nothing else."""
    carried = found.document()["monitors"][0]["carried"]
    segment = carried["segments"][0]
    keys = {*carried, *segment, *(key for each in (*carried["columns"], *segment["columns"]) for key in each)}
    text = DOCS.read_text(encoding="utf-8").split("## What predictions carried")[1].split("\n## ")[0]
    assert set(re.findall(r"^\| `(\w+)`", text, re.MULTILINE)) == keys - {"columns", "segments"}


def test_a_monitor_without_data_carries_nothing(profile: Path) -> None:
    """The key is there all the same."""
    config = carrying.config(profile, {"data": None})
    result = replayed(config, list(carrying.predictions(500)), list(carrying.labels(500)))
    assert result.document()["monitors"][0]["carried"] is None
    assert result.notes == []


def test_settings_of_data_are_compared(found: Backtest) -> None:
    """Each has its own alerts; what is counted is counted once."""
    configured, tolerant = found.settings
    assert found.notes == []
    assert configured.raised == tolerant.raised == 2
    named, fewer = (
        {
            (moved["feature"], moved["change"])
            for each in setting.alerts
            for moved in each.get("features", {}).get("moved", ())
        }
        for setting in (configured, tolerant)
    )
    assert fewer < named


@pytest.mark.parametrize(
    ("path", "value"), [("data.window", "2m"), ("data.leave_out", []), ("data.steps", {"note": ["strip_accents"]})]
)
def test_what_is_counted_cannot_be_compared(profile: Path, path: str, value: Any) -> None:
    """It is one count for all settings, and says which setting it is about."""
    config = carrying.config(
        profile, backtest={"alternatives": [{"name": "o", "changes": {f"monitors.m.{path}": value}}]}
    )
    with pytest.raises(ConfigError, match=f"backtest, 'o': {path} of monitor 'm' cannot be compared in one pass"):
        replayed(config, [], [])


def test_a_setting_may_do_without(profile: Path) -> None:
    """It raises what others do that look at outcomes."""
    without = {"name": "without", "changes": {"monitors.m.data": None}}
    config = carrying.config(profile, backtest={"alternatives": [without]})
    result = replayed(config, list(carrying.predictions()), list(carrying.labels()))
    kinds = [{each["kind"] for each in setting.alerts} for setting in result.settings]
    assert kinds == [{"preprocessing", "mismatch_drift"}, {"mismatch_drift"}]


def test_predictions_without_features_are_told(profile: Path) -> None:
    """By the name of what never came, and what to look at."""
    rows = [{**each, "features": {"amount": each["features"]["amount"]}} for each in carrying.predictions(900)]
    result = replayed(carrying.config(profile), rows, list(carrying.labels(900)))
    (note,) = result.notes
    assert note.startswith("monitor 'm': of 900 predictions none has `age`, `country`, `note`, which training had")
    rows = [{**each, "at": START_MS} for each in carrying.predictions(9)]
    result = replayed(carrying.config(profile), rows, [])
    assert any("nothing that predictions carry was compared" in each for each in result.notes)


def test_a_history_that_is_shorter_than_the_baseline_is_told(profile: Path) -> None:
    """Else nobody would know why there are no alerts."""
    config = carrying.config(profile)
    data = config.monitors[0].data
    assert data is not None
    longer = config.monitors[0].model_copy(update={"data": data.model_copy(update={"baseline_ms": 14 * 86_400_000})})
    rows, truth = list(carrying.predictions(900)), list(carrying.labels(900))
    for each, is_told in ((config, False), (config.model_copy(update={"monitors": (longer,)}), True)):
        notes = [note for note in replayed(each, rows, truth).notes if "data.baseline is" in note]
        assert bool(notes) == is_told
        assert all(note.startswith("monitor 'm': data.baseline is 14d, and there are ") for note in notes)


def test_a_budget_is_judged_by_all_that_share_it(profile: Path) -> None:
    """A monitor of predictions alone has one, too."""
    config = carrying.config(profile, {"threshold": None})
    question = Question(normal_ms=(START_MS, START_MS + 400 * 60_000))
    result = replayed(config, list(carrying.predictions()), list(carrying.labels()), question)
    assert [each.name for each in result.settings][1:3] == ["budget 0.25", "budget 0.5"]
    (sentence,) = result.suggestions
    assert sentence.startswith("Nothing to suggest: to judge false_alarms_per_month: 10 takes 3 days")


def test_an_alert_is_explained_by_its_predictions(config: Config, found: Backtest) -> None:
    """Its examples as they were written, and the first since the onset; it has no outcomes."""
    history = history_of(config, list(carrying.predictions()), list(carrying.labels()))
    shown = [each for each in found.alerts if "features" in each]
    alert = next(each for each in shown if any("example" in moved for moved in each["features"]["moved"]))
    explained = explain(config, history, alert)
    moved = next(each for each in alert["features"]["moved"] if "example" in each)
    first = explained.carried[0]
    assert first.told == moved["told"]
    assert orjson.loads(first.record)["request_id"] == moved["example"]["request_id"]
    assert [each.told for each in explained.carried[-3:]] == [None] * 3
    assert (explained.steps, explained.leads, explained.wrong) == ([], [], [])
    lines = list(told(explained))
    assert f"look first: {alert['look_first'][0]}" in lines
    assert lines.index("examples:") < lines.index("the first predictions since the onset:")
    assert any(line.startswith("note: an alert of what predictions carry needs no label") for line in lines)
    resolved = list(told(explain(config, history, of_data(found, "resolved"))))
    assert any(line.startswith("now: `amount` is ") for line in resolved)


def test_frames_and_plots_know_what_predictions_carried(found: Backtest) -> None:
    """Alerts without rates are rows, and what scores let expect is a line."""
    frame = found.to_frame()
    assert {"preprocessing", "mismatch_drift"} == set(frame["kind"])
    assert frame.filter(frame["kind"] == "preprocessing")["rate_after"].null_count() > 0
    legend = found.plot().get_legend()
    assert legend is not None
    assert "expected from scores" in [each.get_text() for each in legend.get_texts()]
    assert "What predictions carried" in render(found.document())


@pytest.fixture
def live(tmp_path: Path, profile: Path) -> Path:
    """A configuration of an embedded log on which a worker has run."""
    path = tmp_path / "log.db"
    document = yaml.safe_load(carrying.config(profile).as_yaml())
    document["log"] = {"kind": "embedded", "path": str(path), "group": "g"}
    config = tmp_path / "my.yaml"
    config.write_text(yaml.safe_dump(document))
    log = EmbeddedLog(path)
    for topic, rows in (("predictions", carrying.predictions()), ("labels", carrying.labels())):
        log.create(TopicInfo(topic, 2))
        records = [Record(topic, row["request_id"].encode(), orjson.dumps(row), timestamp_ms=row["at"]) for row in rows]
        log.append(records)
    log.close()
    run("run", config, "--until-end")
    return config


def test_a_replay_of_outcomes_raises_what_live_did(live: Path, tmp_path: Path) -> None:
    """Byte for byte; and where the profile has changed since, it says that counts are of another."""
    alerts = run("alerts", live).encode()
    assert b'"preprocessing"' in alerts
    for mode in ("ideal", "faithful"):
        run("backtest", live, "--mode", mode, "--out", tmp_path / mode)
        # A report has them in the order of event time; a topic those of predictions first, of what came at once.
        assert sorted((tmp_path / mode / "alerts.jsonl").read_bytes().splitlines()) == sorted(alerts.splitlines())
    document = yaml.safe_load(live.read_text())
    document["monitors"][0]["data"]["leave_out"] = ["prediction", "country"]
    live.write_text(yaml.safe_dump(document))
    said = run("backtest", live, "--mode", "faithful")
    assert "predictions carried was counted by workers of another profile, or other steps" in said
    assert "nothing that predictions carry was compared with training" in said


def test_a_command_says_what_has_moved(tmp_path: Path, profile: Path) -> None:
    """In the list of alerts; and of one of them, by the report alone."""
    config = tmp_path / "my.yaml"
    config.write_text(carrying.config(profile).as_yaml())
    options = files(tmp_path, (list(carrying.predictions()), list(carrying.labels())))
    said = run("backtest", config, *options, "--out", tmp_path / "out")
    (line,) = [each for each in said.splitlines() if " raised   preprocessing of m by data: " in each]
    assert re.search(r": [\d.]+% of `note` would change under lower_case: .+; `\w+` is .+  [0-9a-f]{32}$", line)
    explained = run("explain", line.rpartition(" ")[2], tmp_path / "out")
    assert "the first predictions since the onset:\n  predictions-0@" in explained
