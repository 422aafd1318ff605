"""The join task by examples; tests/laws has the rest."""

import pytest

from streamguard.core.join import HeldFullError, Input, JoinTask
from streamguard.core.note import Note
from streamguard.core.records import Fate, Output, Stream
from streamguard.core.waiting import NEVER
from tests.core.helpers import (
    THRESHOLD,
    batch,
    documents,
    headers_of,
    labels,
    prediction,
    predictions,
    reasons,
    rows_of,
    topology,
)


def join_task(*, before_ms: int = 0, after_ms: int = 10, disorder_ms: int = 0, held_max: int = 1000) -> JoinTask:
    """A task with one monitor that takes everything."""
    join = {"before": f"{before_ms}ms", "after": f"{after_ms}ms", "disorder": f"{disorder_ms}ms"}
    return JoinTask(0, topology(join={**join, "max_waiting": held_max}).join)


def count(task: JoinTask, side: Input, fate: Fate) -> int:
    """How many records of a side have ended so."""
    return task.counts(side)[fate]


def delays_that_match(before_ms: int, after_ms: int) -> list[int]:
    """By how much a label may be later than its prediction, tried out one by one."""
    found = []
    for delay in range(-before_ms - 3, after_ms + 4):
        task = join_task(before_ms=before_ms, after_ms=after_ms)
        rows = rows_of(task.step(predictions(("a", 50)), labels(("a", 50 + delay))))
        found += [delay for row in rows if row.label is not None]
    return found


def test_a_label_finds_its_prediction() -> None:
    """Both sides of the pair are in the outcome, and whoever reads it finds the two records by their offsets."""
    task = join_task()
    assert rows_of(task.step(predictions(("a", 5), ("b", 6), value="yes", start=100))) == []
    (row,) = rows_of(task.step(labels=labels(("b", 8), value="no", start=40)))
    assert row == ("m", (), "b", "yes", "no", 6, 8, 101, 40, None)
    assert task.counts(Input.LABELS) == {
        "consumed": 1,
        "matched": 1,
        "expired": 0,
        "late": 0,
        "duplicate": 0,
        "rejected": 0,
        "waiting": 0,
    }
    assert count(task, Input.PREDICTIONS, Fate.WAITING) == 1


@pytest.mark.parametrize(("before_ms", "after_ms"), [(0, 1), (0, 7), (3, 0), (3, 7)])
def test_the_window_is_closed_on_both_ends(before_ms: int, after_ms: int) -> None:
    """-before <= label time - prediction time <= after, to the millisecond."""
    assert delays_that_match(before_ms, after_ms) == [*range(-before_ms, after_ms + 1)]


def test_a_label_may_come_first() -> None:
    """Which topic poll happens to read first says nothing."""
    task = join_task()
    task.step(labels=labels(("a", 8)))
    assert [row.id for row in rows_of(task.step(predictions(("a", 5))))] == ["a"]


def test_a_prediction_whose_label_never_came_expires() -> None:
    """Once the labels have passed its window (and its pane) it is written without a label, and counted."""
    task = join_task(after_ms=10)
    task.step(predictions(("a", 5)))
    assert rows_of(task.step(labels=labels(("z", 16)))) == []
    (row,) = rows_of(task.step(labels=labels(("y", 17))))
    assert (row.id, row.label, row.label_offset, row.label_time) == ("a", None, -1, 16)
    assert count(task, Input.PREDICTIONS, Fate.EXPIRED) == 1


def test_a_label_without_a_prediction_expires_silently() -> None:
    """It is counted; there is no outcome to write."""
    task = join_task()
    task.step(labels=labels(("a", 5)))
    assert rows_of(task.step(predictions(("z", 50)))) == []
    assert count(task, Input.LABELS, Fate.EXPIRED) == 1


def test_lateness_is_judged_by_the_own_partition_alone() -> None:
    """A record at the bound is in time, one before it is late; what the other topic has reached does not count."""
    task = join_task(disorder_ms=10)
    task.step(labels=labels(("z", 1_000_000)))
    task.step(predictions(("a", 100), ("b", 90), ("c", 89)))
    assert count(task, Input.PREDICTIONS, Fate.LATE) == 1
    assert count(task, Input.PREDICTIONS, Fate.EXPIRED) == 2


def test_the_same_id_again_is_a_duplicate() -> None:
    """Within before + after it is counted and never matched; further apart it is a new record."""
    task = join_task(after_ms=10)
    task.step(predictions(("a", 5), ("a", 15), ("a", 26)))
    assert count(task, Input.PREDICTIONS, Fate.DUPLICATE) == 1
    rows = rows_of(task.step(labels=labels(("a", 14), ("a", 15), ("a", 27))))
    assert [(row.prediction_time, row.label_time) for row in rows] == [(5, 14), (26, 27)]
    assert count(task, Input.LABELS, Fate.DUPLICATE) == 1


def test_duplicates_of_duplicates_are_duplicates() -> None:
    """A chain of retries is one prediction, however long it goes on."""
    task = join_task(after_ms=10)
    task.step(predictions(*(("a", at) for at in range(0, 100, 10))))
    assert count(task, Input.PREDICTIONS, Fate.DUPLICATE) == 9


def test_a_rejected_record_is_passed_on_unchanged() -> None:
    """Key, value and headers as they came, and Kafka Connect's headers say from where and why."""
    task = join_task()
    bad = batch([b"\xff"], 5, topic="labels", partition=3, start=600, key=b"k", headers=[("h", b"1"), ("n", None)])
    (output,) = task.step(labels=bad)
    assert (output.stream, output.key, output.value, output.partition) == (Stream.REJECTED, b"k", b"\xff", 3)
    assert output.headers[:2] == (("h", b"1"), ("n", b""))
    found = headers_of(output)
    message = found.pop("__connect.errors.exception.message")
    assert message.startswith("not JSON")
    assert found == {
        "h": "1",
        "n": "",
        "__connect.errors.topic": "labels",
        "__connect.errors.partition": "3",
        "__connect.errors.offset": "600",
        "__connect.errors.connector.name": "streamguard",
        "__connect.errors.stage": "VALUE_CONVERTER",
        "streamguard.timestamp": "5",
    }
    assert count(task, Input.LABELS, Fate.REJECTED) == 1


def test_a_poison_timestamp_makes_nothing_late() -> None:
    """One wrong clock is rejected and never moves the partition's time."""
    task = JoinTask(0, topology(predictions={"fields": {"time": "at"}}).join)
    values = [prediction("a", at=10**12), prediction("b", at=5)]
    assert "above join.max_ahead 3600000 ms" in reasons(task.step(batch(values, 5)))[0]
    assert task.clock_ms(Input.PREDICTIONS) == 5
    assert count(task, Input.PREDICTIONS, Fate.LATE) == 0


def test_a_prediction_that_nobody_monitors_is_joined_but_not_written() -> None:
    """It is counted like any other, named to the user, and costs the outcomes topic nothing."""
    task = JoinTask(0, topology({"name": "m", "match": {"model": "fraud"}, "threshold": THRESHOLD}).join)
    outputs = task.step(batch([prediction("a", model="spam")], 5), labels(("a", 6)))
    assert rows_of(outputs) == []
    assert count(task, Input.PREDICTIONS, Fate.MATCHED) == 1
    assert task.unmonitored() == {"spam": 1}


def test_the_watermark_is_the_lesser_bound() -> None:
    """No outcome before it can follow; until both inputs have spoken there is none, and no record either."""
    task = join_task(disorder_ms=3)
    assert task.step(predictions(("a", 50))) == []
    (document,) = documents(task.step(labels=labels(("b", 20))))
    assert (document["watermark"], document["sequence"], document["idle"]) == (17, 1, False)
    assert task.watermark_ms == 17
    assert documents(task.step(labels=labels(("c", 19)))) == []
    assert documents(task.step(labels=labels(("d", 30))))[0]["sequence"] == 2


def test_an_idle_input_lets_the_other_pass() -> None:
    """Its time counts as what the shell says, so predictions expire though no label comes."""
    task = join_task()
    task.step(predictions(("a", 5), ("b", 50)))
    outputs = task.idle(Input.LABELS, 50)
    assert [row.id for row in rows_of(outputs)] == ["a"]
    assert documents(outputs)[0]["watermark"] == 50
    task.step(labels=labels(("b", 49)))
    assert count(task, Input.LABELS, Fate.LATE) == 1


def test_an_idle_input_never_goes_back() -> None:
    """An advance to where the input is already has no effect, and writes nothing."""
    task = join_task()
    task.step(predictions(("a", 5)))
    assert task.idle(Input.PREDICTIONS, 5) == []
    assert task.clock_ms(Input.PREDICTIONS) == 5


def test_idle_advances_must_fit_into_the_note() -> None:
    """64 at different positions are remembered; more at the last of them replace it, and others are refused."""
    task = join_task(after_ms=1_000_000, disorder_ms=1_000)
    for number in range(64):
        task.step(predictions((f"r{number}", number * 10), start=number))
        task.idle(Input.PREDICTIONS, number * 10 + 15)
    assert len(task.note(Input.PREDICTIONS)) < 4096
    task.idle(Input.PREDICTIONS, 650)
    assert task.clock_ms(Input.PREDICTIONS) == 650
    task.step(predictions(("last", 640), start=64))
    task.idle(Input.PREDICTIONS, 660)
    assert task.clock_ms(Input.PREDICTIONS) == 650


def test_an_idle_advance_that_decided_nothing_is_forgotten() -> None:
    """An input that falls idle after every record, and whose times keep pace, never fills the note."""
    task = join_task(after_ms=1_000_000)
    for number in range(500):
        task.step(predictions((f"r{number}", number * 10), start=number))
        task.idle(Input.PREDICTIONS, number * 10 + 5)
    assert task.clock_ms(Input.PREDICTIONS) == 4995
    assert len(Note.decode(task.note(Input.PREDICTIONS)).floors) == 1


def test_a_source_that_has_never_had_a_record_says_so_once() -> None:
    """Nobody need wait for an empty partition."""
    task = join_task()
    (document,) = documents(task.silent())
    assert (document["idle"], document["watermark"], document["blocks"]) == (True, None, [])
    assert task.silent() == []
    spoken = join_task()
    spoken.step(predictions(("a", 5)))
    assert spoken.silent() == []


def test_the_input_that_runs_ahead_is_named() -> None:
    """Near the caps the one with the greater event time is to be held back, so that the other catches up."""
    task = join_task(held_max=10)
    task.step(predictions(("a", 5), ("b", 50)), labels(("c", 10)))
    assert task.ahead(7) is None
    assert task.ahead(8) is Input.PREDICTIONS
    task.step(labels=labels(("d", 60)))
    assert task.ahead(9) is Input.LABELS
    small = JoinTask(0, topology(join={"max_waiting_bytes": 1000}).join)
    assert (small.ahead(5), small.ahead(6)) == (None, Input.PREDICTIONS)


def test_more_than_the_cap_is_refused() -> None:
    """Memory is bounded: the shell must not hand in what does not fit."""
    task = join_task(held_max=2)
    task.step(predictions(("a", 5), ("b", 6)))
    with pytest.raises(HeldFullError):
        task.step(labels=labels(("c", 7)))


def steps_of(task: JoinTask) -> list[Output]:
    """What two more records make the task write."""
    return task.step(predictions(("y", 100), start=2), labels(("y", 101), start=3))


def test_a_note_brings_the_task_back() -> None:
    """Read again from the note's low offset on, the task is what it was: here with a used ID and a waiting one."""
    task = join_task()
    task.step(predictions(("a", 5), ("b", 9)), labels(("a", 5), ("z", 4), ("b", 12)))
    notes = [Note.decode(task.note(side)) for side in Input]
    assert [(note.low, note.clock_ms, note.sequence) for note in notes] == [(0, NEVER, 1)] * 2
    again = join_task()
    for side in Input:
        again.rewind(side, notes[side], 0)
    again.replay(Input.LABELS, labels(("a", 5), ("z", 4), ("b", 12)))
    again.replay(Input.PREDICTIONS, predictions(("a", 5), ("b", 9)))
    again.restored(notes)
    assert [again.counts(side) for side in Input] == [task.counts(side) for side in Input]
    assert steps_of(again) == steps_of(task)


def test_restoring_counts_an_expiry_once() -> None:
    """What an idle advance had let expire before the commit is in the note's counts already."""
    task = join_task()
    task.step(predictions(("a", 5)), labels(("z", 5)))
    task.idle(Input.LABELS, 100)
    notes = [Note.decode(task.note(side)) for side in Input]
    again = join_task()
    for side in Input:
        again.rewind(side, notes[side], 0)
    again.replay(Input.LABELS, labels(("z", 5)))
    again.replay(Input.PREDICTIONS, predictions(("a", 5)))
    again.restored(notes)
    assert count(again, Input.PREDICTIONS, Fate.EXPIRED) == 1


def test_restoring_may_hold_more_than_the_cap() -> None:
    """Until the other input has been read again too, what was long forgotten is held once more."""
    task = join_task(held_max=30)
    for number in range(100):
        task.step(predictions((f"r{number}", number), start=number))
        task.step(labels=labels((f"r{number}", number), start=number))
    notes = [Note.decode(task.note(side)) for side in Input]
    low = notes[0].low
    rest = [(f"r{number}", number) for number in range(low, 100)]
    assert 2 * len(rest) > 30
    again = join_task(held_max=30)
    for side in Input:
        again.rewind(side, notes[side], 0)
    again.replay(Input.PREDICTIONS, predictions(*rest, start=low))
    again.replay(Input.LABELS, labels(*rest, start=low))
    again.restored(notes)
    assert again.held_count == task.held_count <= 30
