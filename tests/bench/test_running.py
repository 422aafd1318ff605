"""The benchmark as people call it, on an embedded log; nothing of its figures but that there are some."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamguard.bench import jobs
from streamguard.bench.jobs import ResultsDifferError, RunFailedError
from streamguard.bench.live import delays
from streamguard.bench.places import alerts
from streamguard.bench.records import Shape
from streamguard.bench.running import Wanted, run_bench
from streamguard.bench.scenarios import EMBEDDED, Bench, DataSet, check_same
from streamguard.errors import ConfigError

SMALL = DataSet("small", Shape(2000))


def bench(directory: Path, repeat: int = 1) -> Bench:
    """On an embedded log alone."""
    return Bench(directory, None, repeat, lambda _: None)


def test_it_measures_and_writes_what_it_found(tmp_path: Path) -> None:
    """The JSON has the machine, the command, and a row with figures and what the worker counted."""
    out, said = tmp_path / "found.json", list[str]()
    run_bench(Wanted(predictions=2000, scenarios=["main"]), said.append, out)
    found = json.loads(out.read_text())
    (row,) = found["rows"]

    assert any("--bootstrap" in line for line in said)
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["packages"]["kafka-python"]
    assert row["run"] == EMBEDDED.name
    assert row["records"] > 3900
    assert min(row["seconds"], row["records_per_second"], row["cpu_seconds_per_million"], row["peak_mb"]) > 0
    assert [line.split(":")[0] for line in row["counts"]] == ["predictions", "labels"]
    assert found["delay"] is None


def test_rounds_give_the_same_and_the_quickest_counts(tmp_path: Path) -> None:
    """Each round is a group of its own, over the same records, and nothing is left behind."""
    (row,) = bench(tmp_path, repeat=2).measure("main", SMALL, [EMBEDDED])

    assert row.usage.seconds == min(row.rounds)
    assert len(row.rounds) == 2
    assert list(tmp_path.glob("*.db*")) == []


def test_other_results_are_a_loud_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is quick because it is wrong has no figures."""
    seen: list[object] = []

    def one_more(log: dict[str, object]) -> list[dict[str, object]]:
        found = alerts(log)
        seen.append(log)
        return found if len(seen) == 1 else [*found, {"id": "x"}]

    monkeypatch.setattr("streamguard.bench.scenarios.alerts", one_more)
    with pytest.raises(ResultsDifferError, match=r"alerts, and .* 1 IDs") as raised:
        bench(tmp_path, repeat=2).measure("main", SMALL, [EMBEDDED])
    assert raised.value.exit_code == 1


@pytest.mark.parametrize(
    ("counts", "said"),
    [(["predictions: 2"], [{"id": "a", "kind": "x"}]), (["predictions: 1"], [{"id": "a", "kind": "y"}])],
)
def test_counts_and_content_are_compared(counts: list[str], said: list[dict[str, object]]) -> None:
    """The same IDs are not enough."""
    with pytest.raises(ResultsDifferError, match="second"):
        check_same([("first", ["predictions: 1"], [{"id": "a", "kind": "x"}]), ("second", counts, said)])


def test_a_process_that_fails_is_told_with_its_words(tmp_path: Path) -> None:
    """What is said of its time would be wrong."""
    good = [sys.executable, "-c", "print('fine')"]
    bad = [sys.executable, "-c", "import sys; sys.exit('no such thing')"]

    assert jobs.measured(tmp_path, [good, good]).said == ["fine\n", "fine\n"]
    with pytest.raises(RunFailedError, match="ended with 1: no such thing"):
        jobs.measured(tmp_path, [good, bad])


def test_peak_memory_is_of_the_process_and_not_of_its_parent(tmp_path: Path) -> None:
    """This process holds more than the other, and that does not count."""
    held = bytearray(200 << 20)
    held[::4096] = b"x" * len(held[::4096])
    usage = jobs.measured(tmp_path, [[sys.executable, "-S", "-c", "pass"]])

    assert 0 < usage.peak_mb < 100
    assert len(held) > usage.peak_mb


@pytest.mark.parametrize(("names", "words"), [(["speed"], "no scenario 'speed'"), (["delay"], "needs Kafka")])
def test_a_scenario_that_cannot_be_is_a_usage_error(names: Sequence[str], words: str) -> None:
    """Before anything is written anywhere."""
    with pytest.raises(ConfigError, match=words):
        run_bench(Wanted(scenarios=names), lambda _: None)


def test_a_delay_is_from_the_label_that_completed_the_alert() -> None:
    """Alerts of the start, and those that end an episode, do not count."""
    raised = {"status": "raised", "examples": ["a", "b"]}
    told = [
        (3500, raised),
        (9000, raised | {"status": "resolved"}),
        (2500, raised | {"examples": ["c"]}),
        (4000, raised | {"examples": ["d"]}),
    ]

    assert delays({"a": 1900, "b": 2000, "c": 900, "d": 3000}, told, 1000) == [1.0, 1.5]
