"""The monitor task by examples; tests/laws has the rest."""

from typing import Any

import orjson
import pytest

from streamguard.core.merge import SequenceGapError
from streamguard.core.monitor import MonitorTask
from streamguard.core.records import Batch, Output, Stream
from tests.core.helpers import THRESHOLD, as_json, batch, documents, headers_of, reasons, topology

SPLIT = {"name": "m", "split_by": ["country"], "max_segments": 2, "threshold": THRESHOLD}
MATCHED = {"name": "m", "match": {"model": "fraud"}, "split_by": ["version"], "threshold": THRESHOLD}


def task(*monitors: dict[str, Any], sources: int = 1) -> MonitorTask:
    """A task over these monitors, or one that takes everything."""
    return MonitorTask(0, topology(*monitors, sources=sources).monitor)


def record(
    *wrong: int,
    at: int = 0,
    until: int | None = None,
    segments: tuple[str | None, ...] | None = None,
    source: int = 0,
    sources: int = 1,
    sequence: int = 1,
    name: str = "m",
) -> bytes:
    """Outcomes a millisecond apart from `at` on, each in its segment where that is said, and the watermark."""
    count = len(wrong)
    places = list(range(at, at + count))
    block = {
        "monitor": name,
        "segments": [[]] if segments is None else [[each] for each in segments],
        "segment": [0] * count if segments is None else list(range(count)),
        "id": [f"r{place}" for place in places],
        "prediction": ["yes"] * count,
        "label": ["no" if each else "yes" for each in wrong],
        "prediction_time": places,
        "label_time": places,
        "prediction_offset": [1000 + place for place in places],
        "label_offset": [2000 + place for place in places],
    }
    watermark = at + count if until is None else until
    head = {"v": 1, "source": source, "sources": sources, "sequence": sequence, "watermark": watermark}
    return as_json(**head, idle=False, blocks=[block] if count else [])


def arrived(*records: bytes | None, start: int = 0) -> Batch:
    """A batch of the outcomes topic."""
    return batch(records, topic="outcomes", start=start)


def alerts(outputs: list[Output]) -> list[Any]:
    """The data of the alerts."""
    return documents(outputs, Stream.ALERTS)


def test_an_alert_has_every_field_of_the_contract() -> None:
    """What docs/alerts.md documents, by name and type; nothing is left out where it is unknown."""
    watched = task(MATCHED)
    rows = record(*[0] * 64, *[1] * 3, segments=tuple(["7"] * 67))
    (output,) = watched.step(arrived(rows))
    (data,) = alerts([output])
    assert set(data) == {
        *("id", "episode", "status", "kind", "severity", "monitor", "model", "version", "segment", "check"),
        *("guarantee", "event_time", "onset", "direction", "before", "after", "labels", "examples", "classes"),
        *("segments", "look_first"),
        *("source", "absorbed", "resolution", "duration_s"),
    }
    assert (data["model"], data["version"], data["segment"]) == ("fraud", "7", {"version": "7"})
    assert data["check"] == {"type": "threshold", **THRESHOLD, "max_mismatch_percent": 50.0}
    assert (data["event_time"], data["onset"]) == ("1970-01-01T00:00:00.066Z", "1970-01-01T00:00:00.064Z")
    assert set(data["before"]) == set(data["after"]) == {"rate", "interval", "count"}
    assert set(data["labels"]) == {"coverage", "delay_median_s"}
    assert data["source"] == {"predictions": {"0": [1000, 1067]}, "labels": {"0": [2000, 2067]}}
    assert (output.key, headers_of(output)["ce_source"]) == (data["episode"].encode(), "streamguard/g")


def test_alerts_are_the_same_when_computed_again() -> None:
    """In other pieces, by another task: every byte, and so the IDs."""
    wrong = [0, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1, 1] * 5
    whole = task().step(arrived(record(*wrong)))
    pieces, again = [], task()
    for place, each in enumerate(wrong):
        pieces += again.step(arrived(record(each, at=place, sequence=place), start=place))
    assert len(whole) > 3
    assert pieces == whole
    assert len({data["id"] for data in alerts(whole)}) == len(whole)


def test_a_monitor_has_room_for_so_many_segments() -> None:
    """The first that does not fit is told, once; those that fit are watched on."""
    watched = task(SPLIT)
    (data,) = alerts(watched.step(arrived(record(1, 0, 1, 0, segments=("DE", "NO", "FR", "SE")))))
    assert (data["kind"], data["severity"], data["segment"]) == ("segments_full", "warning", {"country": "FR"})
    assert (data["episode"], data["event_time"]) == (data["id"], "1970-01-01T00:00:00.002Z")
    assert "raise monitors.max_segments" in data["look_first"][0]
    assert (watched.segment_count, watched.counts["unwatched"]) == (2, 2)
    found = alerts(watched.step(arrived(record(1, 1, at=4, segments=("IT", "DE"), sequence=2), start=1)))
    assert [(each["kind"], each["segment"]) for each in found] == [("mismatch_drift", {"country": "DE"})]


def test_a_stream_that_no_monitor_watches_is_counted() -> None:
    """A monitor was renamed, or splits by other fields now: what came before under its old name is passed over."""
    watched = task(SPLIT)
    watched.step(arrived(record(1, 1, name="gone"), record(1, 1, at=2, sequence=2)))
    assert (watched.counts["unwatched"], watched.segment_count) == (4, 0)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not an outcomes record"),
        (b"hello", "unexpected|expected|JSON"),
        (as_json(v=2), "version 1 expected, got version 2"),
        (record(1, sources=3), "an outcome of 3 input partitions, there are 1"),
        (record(1).replace(b"[[]]", b"[[[1]]]"), "a segment must be a list of"),
        (record(1).replace(b'"prediction_time":[0]', b'"prediction_time":[99999999999999999]'), "a time outside"),
    ],
)
def test_a_foreign_record_is_rejected(value: bytes | None, words: str) -> None:
    """The outcomes topic is a contract that others may write to: what breaks it costs itself alone."""
    watched = task()
    outputs = watched.step(arrived(value, record(1, 1)))
    (reason,) = reasons(outputs)
    assert any(word in reason for word in words.split("|"))
    assert outputs[0].value == value
    assert headers_of(outputs[0])["__connect.errors.topic"] == "outcomes"
    assert len(alerts(outputs)) == 1
    assert (watched.counts["rejected"], watched.counts["outcomes"]) == (1, 2)


def test_a_gap_in_the_sequence_raises() -> None:
    """Records are missing from the topic: an alert over the rest would be wrong."""
    watched = task()
    watched.step(arrived(record(1, sequence=1)))
    with pytest.raises(SequenceGapError, match="at offset 1: sequence 1 is followed by 3"):
        watched.step(arrived(record(1, sequence=3), start=1))


def test_sources_are_watched_in_one_order() -> None:
    """The alert comes with the outcome that is third in time, whichever source was read first."""
    left = record(1, 0, 1, at=0, until=50, source=0, sources=2)
    right = record(1, 1, at=10, until=50, source=1, sources=2)
    one, two = task(sources=2), task(sources=2)
    assert alerts(one.step(arrived(left))) == []
    found = one.step(arrived(right, start=1))
    assert found == two.step(arrived(right, left))
    assert [data["event_time"][-5:] for data in alerts(found)] == [".002Z"]
    assert set(alerts(found)[0]["source"]["predictions"]) == {"0"}


def state_of(watched: MonitorTask, position: int) -> list[tuple[bytes | None, bytes | None]]:
    """The state topic's records."""
    return [(output.key, output.value) for output in watched.snapshot(position)]


def test_a_snapshot_writes_what_has_changed() -> None:
    """A record for each stream that had outcomes since the last, and the head that makes them one."""
    watched = task(SPLIT)
    watched.step(arrived(record(1, 0, segments=("DE", "NO"))))
    outputs = watched.snapshot(1)
    keys = [orjson.loads(output.key or b"") for output in outputs]
    assert keys == [
        [0, {"monitor": "m", "segment": ["DE"]}],
        [0, {"monitor": "m", "segment": ["NO"]}],
        [0, {}],
    ]
    assert {(output.stream, output.partition) for output in outputs} == {(Stream.STATE, 0)}
    watched.step(arrived(record(1, at=2, segments=("NO",), sequence=2), start=1))
    assert [output.key for output in watched.snapshot(2)] == [output.key for output in outputs[1:]]
    assert len(watched.snapshot(2)) == 1


def test_a_restored_task_goes_on() -> None:
    """From the snapshot, and what was held then, read again: the same alerts as if nothing had happened."""
    first, held = record(0, 1, 1, until=2), record(1, 1, 1, at=3, until=3, sequence=2)
    rest = record(0, 0, 0, 0, at=6, sequence=3)
    watched = task()
    watched.step(arrived(first, held))
    again = task()
    resume = again.restore(state_of(watched, 2))
    assert resume is not None
    assert (resume.low, resume.position) == (1, 2)
    again.refill(arrived(b"junk", start=0))
    again.refill(arrived(held, start=1))
    assert again.merge.held_count == watched.merge.held_count == 3
    outputs = watched.step(arrived(rest, start=2))
    assert outputs
    assert again.step(arrived(rest, start=2)) == outputs
    assert again.counts == watched.counts


def test_a_full_monitor_stays_full() -> None:
    """A restart neither makes room nor tells it again."""
    watched = task(SPLIT)
    watched.step(arrived(record(1, 0, 1, segments=("DE", "NO", "FR"))))
    again = task(SPLIT)
    again.restore(state_of(watched, 1))
    assert again.step(arrived(record(1, at=3, segments=("SE",), sequence=2), start=1)) == []
    assert (again.segment_count, again.counts["unwatched"]) == (2, 2)


def test_without_a_head_there_is_no_snapshot() -> None:
    """An empty state topic, or one whose first snapshot was never finished, is a fresh start."""
    assert task().restore([]) is None
    watched = task(SPLIT)
    watched.step(arrived(record(1, segments=("DE",))))
    again = task(SPLIT)
    assert again.restore(state_of(watched, 1)[:-1]) is None
    assert again.segment_count == 0


def test_the_latest_state_counts_and_a_deleted_one_is_gone() -> None:
    """Before compaction there are several records of a key; a tombstone removes it."""
    watched = task(SPLIT)
    watched.step(arrived(record(1, segments=("DE",))))
    older = state_of(watched, 1)
    watched.step(arrived(record(1, at=1, segments=("DE",), sequence=2), start=1))
    newer = state_of(watched, 2)
    again = task(SPLIT)
    resume = again.restore([*older, *newer])
    assert resume is not None
    assert (resume.position, again.segment_count, again.counts) == (2, 1, watched.counts)
    without = task(SPLIT)
    without.restore([*older, *newer, (newer[0][0], None)])
    assert without.segment_count == 0


def test_state_of_a_monitor_that_is_gone_is_passed_over() -> None:
    """It was removed from the config, or splits by other fields now."""
    watched = task(SPLIT)
    watched.step(arrived(record(1, segments=("DE",))))
    for other in ({**SPLIT, "name": "other"}, {"name": "m", "threshold": THRESHOLD}):
        changed = task(other)
        assert changed.restore(state_of(watched, 1)) is not None
        assert changed.segment_count == 0


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (as_json(v=2, stream={}, state={}), "state of version 1 expected, got 2"),
        (b"{}", "state of version 1 expected, got None"),
        (b"[]", "state of version 1 expected, got None"),
        (b"junk", "JSON|unexpected|expected"),
    ],
)
def test_state_of_another_version_is_refused(value: bytes, words: str) -> None:
    """To go on from what is not understood would be to alert on it."""
    with pytest.raises(ValueError, match=words):
        task().restore([(b"k", value)])


def test_state_of_other_input_partitions_is_refused() -> None:
    """With another number of sources the order is another."""
    with pytest.raises(ValueError, match="the state is of 2 input partitions, there are 3 now"):
        task(sources=3).restore(state_of(task(sources=2), 0))


def test_names_of_streams_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A split by request ID makes a new name for each outcome; those that no one holds are forgotten."""
    monkeypatch.setattr("streamguard.core.intake._STREAMS_MAX", 3)
    watched = task({"name": "m", "split_by": ["id"], "max_segments": 2, "threshold": THRESHOLD})
    for place in range(10):
        names = tuple(f"{place}.{number}" for number in range(2))
        watched.step(arrived(record(0, 0, at=2 * place, segments=names, sequence=place), start=place))
        assert len(watched._intake._keys) <= 4
    assert watched.counts["released"] == 20


def test_state_of_another_meaning_is_deleted() -> None:
    """Else a setting that is changed, and much later changed back, would go on from what was long ago."""
    watched = task(SPLIT)
    watched.step(arrived(record(1, segments=("DE",))))
    state = dict(state_of(watched, 1))
    changed = task()
    changed.restore(list(state.items()))
    assert changed.has_obsolete
    written = [(output.key, output.value) for output in changed.snapshot(1)]
    assert sum(value is None for _, value in written) == 1
    assert not changed.has_obsolete
    back = task(SPLIT)
    back.restore(list((state | dict(written)).items()))
    assert back.segment_count == 0
