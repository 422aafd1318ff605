"""The loop, on a real embedded log: what a restart, a cap or an idle input does to the results."""

from pathlib import Path

import orjson
import pytest

from streamguard.config import parse
from streamguard.errors import LogError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.interface import Record
from streamguard.worker.worker import Progress, Worker
from tests.worker.helpers import HandClock, alerts, config, parts, topic, traffic, work, write


def test_a_run_finds_the_fault_and_its_counts_add_up(tmp_path: Path) -> None:
    """Every record consumed has ended as exactly one thing, or waits."""
    settings = config(tmp_path)
    write(settings, traffic())
    worker = work(settings)

    found = [orjson.loads(value or b"") for value in alerts(settings)]
    assert {alert["check"]["type"] for alert in found} == {"threshold", "adwin"}
    assert all(alert["event_time"] > "2026-01-05T00:15" for alert in found if alert["status"] == "raised")
    assert worker.totals["predictions"] == worker.totals["labels"]
    assert worker.totals["labels"]["consumed"] == worker.totals["labels"]["matched"] == 1500


@pytest.mark.parametrize("every", ["1ms", "1h"])
def test_many_short_runs_are_one_long_run(tmp_path: Path, every: str) -> None:
    """Each run restores what the last one left, from a snapshot or from the outcomes, and nothing shows."""
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one, many = config(tmp_path / "one"), config(tmp_path / "many", state={"every": every})
    write(one, traffic())
    whole = work(one)
    for part in parts(traffic(), 13):
        write(many, part)
        pieces = work(many, clock=HandClock(0.01))

    assert alerts(many) == alerts(one) != []
    assert pieces.totals == whole.totals


def test_a_small_cap_holds_back_and_changes_nothing(tmp_path: Path) -> None:
    """Predictions far ahead of their labels wait on the log instead of in memory."""
    (tmp_path / "roomy").mkdir()
    (tmp_path / "tight").mkdir()
    roomy = config(tmp_path / "roomy")
    tight = config(tmp_path / "tight", join={"after": "10m", "disorder": "1s", "max_waiting": 3200})
    for settings in (roomy, tight):
        write(settings, [record for record in traffic(6000) if record.topic == "predictions"])
        write(settings, [record for record in traffic(6000) if record.topic == "labels"])

    assert work(tight).totals == work(roomy).totals
    assert alerts(tight) == alerts(roomy) != []


def test_a_window_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """Dropping would be silent, so that the message names both settings that mend it."""
    settings = config(tmp_path, join={"after": "10m", "max_waiting": 200})
    write(settings, traffic())
    with pytest.raises(LogError, match=r"join.max_waiting is 200.*raise join.max_waiting, or shorten join.after"):
        work(settings)


def test_a_window_whose_bytes_do_not_fit_is_an_error(tmp_path: Path) -> None:
    """Held back in turns, two inputs would fill the memory of the machine all the same."""
    settings = config(tmp_path, join={"after": "10m", "max_waiting_bytes": 20_000})
    write(settings, traffic())
    with pytest.raises(LogError, match=r"twice join.max_waiting_bytes, 20000: raise that, shorten join.after"):
        work(settings)


def until_quiet(
    settings_path: Path, records: list[Record], turns: int, **join: str | None
) -> tuple[list[bytes | None], int]:
    """Alerts of a live worker whose clock runs two seconds a look, stopped after so many turns."""
    settings = config(settings_path, join={"after": "10m", "disorder": "1s", **join})
    write(settings, records)
    log = EmbeddedLog(Path(settings.log.path))  # type: ignore[union-attr]
    worker = Worker(settings, log, "w", HandClock(2.0).clock)
    looks = 0

    def look(_: Progress) -> None:
        nonlocal looks
        looks += 1
        if looks >= turns:
            worker.stop()

    worker.run(on_progress=look)
    log.close()
    return alerts(settings), worker.held[0]


def test_an_idle_partition_does_not_hold_alerts_back_for_ever(tmp_path: Path) -> None:
    """One of two partitions is never written; once it is proven idle, what the other found comes out."""
    silent = [record for record in traffic() if record.key is not None]
    one_sided = [Record(each.topic, each.key, each.value, 0, (), each.timestamp_ms) for each in silent]
    (tmp_path / "waits").mkdir()
    (tmp_path / "goes").mkdir()

    assert until_quiet(tmp_path / "waits", one_sided, 20, idle_after=None) == ([], 1500)
    found, held = until_quiet(tmp_path / "goes", one_sided, 20, idle_after="5s")
    assert len(found) >= 2
    assert held < 100


def test_silent_labels_let_predictions_expire(tmp_path: Path) -> None:
    """Labels that never come must not keep predictions in memory, nor be waited for without end."""
    until_quiet(tmp_path, traffic(labelled=False), 20, idle_after="5s")
    worker = work(config(tmp_path))

    assert worker.totals["predictions"]["expired"] > 800
    assert worker.totals["predictions"]["matched"] == 0


def test_records_that_no_one_can_read_are_on_the_rejected_topic(tmp_path: Path) -> None:
    """They are kept as they came, and the others are not delayed."""
    settings = config(tmp_path)
    bad = [b"{", b"[]", b'{"request_id": 5}', b'{"request_id": "x", "prediction": NaN}', None]
    write(settings, [Record("predictions", b"k", value, timestamp_ms=1) for value in bad])
    write(settings, traffic())
    worker = work(settings)

    assert topic(settings, settings.rejected_topic) == bad
    assert worker.totals["predictions"]["rejected"] == len(bad)
    assert worker.totals["predictions"]["matched"] == 1500


def test_a_changed_window_is_refused(tmp_path: Path) -> None:
    """What was expired under the old window would come back under the new one."""
    write(config(tmp_path), traffic())
    work(config(tmp_path))
    with pytest.raises(LogError, match=r"of 0, 600000, 1000 ms, and they are 0, 1200000, 1000 ms now: set them back"):
        work(config(tmp_path, join={"after": "20m"}))


def test_a_window_that_does_not_fit_and_has_no_labels_is_an_error_too(tmp_path: Path) -> None:
    """Predictions held back for labels that have ended would wait for ever."""
    settings = config(tmp_path, join={"after": "10m", "max_waiting": 200})
    write(settings, traffic(labelled=False))
    with pytest.raises(LogError, match=r"join.max_waiting is 200"):
        work(settings)


def test_a_bounded_run_does_not_wait_for_a_partition_that_has_nothing(tmp_path: Path) -> None:
    """Nothing can come there any more, and no clock is needed to know it."""
    settings = config(tmp_path)
    write(settings, [Record(each.topic, each.key, each.value, 1, (), each.timestamp_ms) for each in traffic()])
    worker = work(settings)

    assert len(alerts(settings)) >= 2
    assert worker.held[0] < 100


def test_a_monitor_of_another_meaning_starts_anew(tmp_path: Path) -> None:
    """A mismatch rate and a squared error are not one history: going on would raise a drift that is none."""
    numbers = [
        Record(
            each.topic,
            each.key,
            (each.value or b"").replace(b'"a"', b"1").replace(b'"b"', b"9"),
            timestamp_ms=each.timestamp_ms,
        )
        for each in traffic(3000, wrong_from=0)
    ]
    checks = {"detectors": [{"type": "adwin"}]}
    settings = config(tmp_path).model_dump(mode="json", by_alias=True)
    settings["monitors"] = [{"name": "m", **checks}]
    first = parse(settings)
    write(first, numbers[:3000])
    work(first)
    settings["monitors"] = [{"name": "m", "loss": "squared", **checks}]
    second = parse(settings)
    write(second, numbers[3000:])
    work(second)

    assert alerts(second) == []
