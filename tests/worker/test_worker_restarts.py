"""What a worker must remember over a restart beside the records: idle advances, alerts that are out, counts."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

import orjson
import pytest

from streamguard.bench.records import Shape
from streamguard.bench.records import records as drawn
from streamguard.config import Config
from streamguard.core.records import Fate
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record
from streamguard.worker.worker import Progress, Worker
from tests.worker.helpers import HandClock, alerts, config, topic, traffic, work, write

DAY = {"join": {"after": "2h", "disorder": "30s"}}


def live(settings: Config, turns: int = 12) -> Worker:
    """A worker that is not bounded, on a clock that runs two seconds a look."""
    log = EmbeddedLog(Path(settings.log.path))  # type: ignore[union-attr]
    worker = Worker(settings, log, "w", HandClock(2.0).clock)
    left = turns

    def look(_: Progress) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            worker.stop()

    worker.run(on_progress=look)
    log.close()
    return worker


def one_sided(records: Sequence[Record]) -> list[Record]:
    """The same records, all in the first of the two partitions."""
    return [Record(each.topic, each.key, each.value, 0, (), each.timestamp_ms) for each in records]


def test_the_account_adds_up_whatever_comes(tmp_path: Path) -> None:
    """With garbage, repeats, late and missing labels, every record has ended as one thing or waits."""
    settings = config(tmp_path, **DAY)
    records = list(drawn(Shape(4000, never=0.1, duplicates=0.05, garbage=0.02)))
    write(settings, records)
    stale = orjson.dumps({"request_id": "stale", "label": "fraud", "timestamp": records[0].timestamp_ms})
    write(settings, [Record("labels", b"stale", stale, timestamp_ms=records[-1].timestamp_ms)])
    worker = work(settings)

    for name, counts in worker.totals.items():
        sent = sum(record.topic == name for record in records) + (name == "labels")
        ended = [counts[fate.value] for fate in Fate if fate is not Fate.WAITING]
        assert counts["consumed"] == sent
        assert 0 <= counts["consumed"] - sum(ended) < 500
    assert worker.totals["labels"]["late"] == 1
    assert worker.totals["predictions"]["matched"] == worker.totals["labels"]["matched"] > 3000
    rejected = sum(counts["rejected"] for counts in worker.totals.values())
    assert rejected == len(topic(settings, settings.rejected_topic)) > 40


@pytest.mark.parametrize("seed", range(3))
def test_restarts_anywhere_are_invisible(tmp_path: Path, seed: int) -> None:
    """A day with garbage and repeats, cut at random places: every byte of alerts and rejections is the same."""
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one, many = config(tmp_path / "one", **DAY), config(tmp_path / "many", **DAY, state={"every": "1ms"})
    records = list(drawn(Shape(4000, garbage=0.01, duplicates=0.05)))
    write(one, records)
    whole = work(one)
    random = Random(seed)  # noqa: S311 (a schedule, not a secret)
    cuts = sorted(random.sample(range(len(records)), 6))
    for start, end in zip([0, *cuts], [*cuts, len(records)], strict=True):
        write(many, records[start:end])
        pieces = work(many, clock=HandClock(random.choice([0.0, 0.01])))

    assert alerts(many) == alerts(one) != []
    assert sorted(topic(many, many.rejected_topic), key=repr) == sorted(topic(one, one.rejected_topic), key=repr)
    assert pieces.totals == whole.totals


def test_an_idle_advance_outlives_the_worker(tmp_path: Path) -> None:
    """What an advance has let out stays out, and what it made late is late for the next worker, too."""
    settings = config(tmp_path, join={"after": "10m", "disorder": "1s", "idle_after": "5s"})
    write(settings, one_sided(traffic()))
    live(settings, 20)
    first = alerts(settings)
    assert len(first) > 0

    restarted = work(settings)
    assert alerts(settings) == first
    late = orjson.loads(traffic()[-1].value or b"") | {"request_id": "late"}
    write(settings, [Record("labels", None, orjson.dumps(late), 0, timestamp_ms=traffic()[-1].timestamp_ms)])
    again = work(settings)
    assert again.totals["labels"]["late"] == restarted.totals["labels"]["late"] + 1
    assert alerts(settings) == first


def test_a_stopped_worker_says_how_far_the_group_is(tmp_path: Path) -> None:
    """The account is of the group and of all its runs, not of this process alone."""
    settings = config(tmp_path)
    write(settings, traffic())
    live(settings, 5)
    worker = live(settings, 2)

    assert worker.progress.records == 0
    assert worker.totals["predictions"]["consumed"] == 1500
