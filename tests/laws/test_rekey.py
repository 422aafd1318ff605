"""The laws of the re-key stage: cut, interleaving and resume change nothing, and every record ends as one thing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.config.formats import KServe, Plain
from streamguard.core.codec import Mapping
from streamguard.core.note import Note
from streamguard.core.payloads import adapter
from streamguard.core.records import Batch, Output, TopicPartition
from streamguard.core.rekey import Rekey, Settings, Written

TOPIC = "raw"
BASE_MS = 1_700_000_000_000
DISORDER_MS = 50
PAIR_MS = 40
KSERVE = "org.kubeflow.serving.inference"

PAIRED = Settings(
    adapter(KServe(type="kserve", pair_within=PAIR_MS), Mapping(("request_id",), ("prediction",))),
    DISORDER_MS,
    3_600_000,
)
WHOLE = Settings(
    adapter(Plain(), Mapping(("request_id",), ("prediction",), time=("timestamp",))), DISORDER_MS, 3_600_000
)


@pytest.fixture(autouse=True, scope="module")
def _every_record_is_marked() -> Iterator[None]:
    """Else a restart in a log as short as these reads all of it again, and proves nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamguard.core.rekey._MARK_RECORDS", 1)
        yield


@dataclass(frozen=True)
class Event:
    """A record of a raw partition."""

    request_id: str
    time_ms: int
    kind: str
    """request, response, error or garbage."""


def batch_of(partition: int, first: int, events: Sequence[Event], *, paired: bool) -> Batch:
    """Events as they lie on Kafka."""
    values, headers = [], []
    for event in events:
        bodies = {
            "request": {"instances": [[1, 2]]},
            "response": {"predictions": [1]},
            "error": {"error": "out of memory"},
        }
        plain = {"request_id": event.request_id, "prediction": 1, "timestamp": event.time_ms}
        body = bodies.get(event.kind) if paired else plain if event.kind != "garbage" else None
        values.append(b"garbage" if body is None else orjson.dumps(body))
        kind = "request" if event.kind == "request" else "response"
        headers.append(
            (
                ("ce_id", event.request_id.encode()),
                ("ce_type", f"{KSERVE}.{kind}".encode()),
                ("ce_time", str_time(event.time_ms)),
            )
            if event.kind != "garbage"
            else ()
        )
    offsets = list(range(first, first + len(events)))
    stamps = [event.time_ms for event in events]
    source = TopicPartition(TOPIC, partition)
    return Batch(source, offsets, stamps, [None] * len(events), values, headers, first + len(events))


def str_time(time_ms: int) -> bytes:
    """RFC 3339."""
    seconds, rest = divmod(time_ms - BASE_MS, 1000)
    return f"2023-11-14T22:{13 + (20 + seconds) // 60:02}:{(20 + seconds) % 60:02}.{rest:03}Z".encode()


@dataclass
class Run:
    """What a stage has done."""

    written: list[Written] = field(default_factory=list)
    rejected: list[Output] = field(default_factory=list)

    def add(self, found: tuple[list[Written], list[Output]]) -> None:
        """Take what a step returns."""
        self.written += found[0]
        self.rejected += found[1]

    def end(self, stage: Rekey) -> None:
        """Take all that waits."""
        self.add(stage.finish())
        while stage.has_more:
            self.add(stage.step([]))
        self.add(stage.finish())
        assert (stage.held_count, stage.held_bytes) == (0, 0)

    @property
    def told(self) -> tuple[list[Written], list[tuple[bytes | None, tuple[tuple[str, bytes | None], ...]]]]:
        """All of it; the order of what is rejected means nothing."""
        return self.written, sorted((each.value, tuple(each.headers)) for each in self.rejected)


def opened(
    rules: Settings,
    count: int,
    commit: dict[TopicPartition, tuple[int, Note]] | None = None,
    leave_max: int | None = None,
) -> Rekey:
    """A stage over so many partitions, as it was at a commit."""
    stage = Rekey(rules, leave_max)
    for number in range(count):
        source = TopicPartition(TOPIC, number)
        offset, note = (None, None) if commit is None else commit[source]
        stage.open(source, 0, offset, None if note is None else Note.decode(note.encode()))
    stage.opened()
    return stage


def whole(logs: Sequence[Sequence[Event]], rules: Settings) -> Run:
    """All at once."""
    run, stage = Run(), opened(rules, len(logs))
    run.add(stage.step([batch_of(number, 0, log, paired=rules is PAIRED) for number, log in enumerate(logs)]))
    run.add(stage.finish())
    return run


events = st.builds(
    Event,
    st.sampled_from(["a", "b", "c", "d"]),
    st.integers(BASE_MS, BASE_MS + 600),
    st.sampled_from(["request", "request", "response", "response", "response", "error", "garbage"]),
)


@st.composite
def raw_logs(draw: st.DrawFn) -> list[list[Event]]:
    """Partitions, roughly in order of time."""
    logs = draw(st.lists(st.lists(events, max_size=14), min_size=1, max_size=3))
    return [sorted(log, key=lambda each: each.time_ms // 80) if draw(st.booleans()) else log for log in logs]


@pytest.mark.parametrize("rules", [PAIRED, WHOLE], ids=["paired", "whole"])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_cut_interleaving_and_resume_change_nothing(rules: Settings, data: st.DataObject) -> None:
    """Whatever polls bring, and wherever the stage dies and begins again, the same is written in the same order."""
    logs = data.draw(raw_logs())
    expected = whole(logs, rules)

    leave_max = data.draw(st.sampled_from([None, 1, 2, 5]))
    run, stage = Run(), opened(rules, len(logs), leave_max=leave_max)
    done = [0] * len(logs)
    while any(done[number] < len(log) for number, log in enumerate(logs)):
        number = data.draw(st.sampled_from([n for n, log in enumerate(logs) if done[n] < len(log)]))
        size = data.draw(st.integers(1, 4))
        part = logs[number][done[number] : done[number] + size]
        run.add(stage.step([batch_of(number, done[number], part, paired=rules is PAIRED)]))
        done[number] += len(part)
        if data.draw(st.booleans()):
            stage = resumed(stage, logs, rules, data)
    run.end(stage)

    assert run.told == expected.told


def resumed(stage: Rekey, logs: Sequence[Sequence[Event]], rules: Settings, data: st.DataObject) -> Rekey:
    """Another stage, from what the first has committed: it reads again, and says nothing."""
    commit = stage.offsets()
    again = opened(rules, len(logs), commit, data.draw(st.sampled_from([None, 1, 2, 5])))
    left = {
        number: (commit[TopicPartition(TOPIC, number)][1].low, commit[TopicPartition(TOPIC, number)][0])
        for number in range(len(logs))
    }
    while again.is_replaying:
        number = data.draw(st.sampled_from([n for n, (low, end) in left.items() if low < end]))
        low, end = left[number]
        size = data.draw(st.integers(1, 5))
        # A fetch may reach beyond the commit.
        part = logs[number][low : low + size]
        again.replay(batch_of(number, low, part, paired=rules is PAIRED))
        left[number] = (min(end, low + len(part)), end)
    assert again.counts() == stage.counts()
    assert (again.bound_ms, again.held_count, again.held_bytes) == (
        stage.bound_ms,
        stage.held_count,
        stage.held_bytes,
    )
    return again


@settings(max_examples=200, deadline=None)
@given(raw_logs())
def test_what_is_written_is_in_the_order_of_event_time_unless_its_partition_was_late(logs: list[list[Event]]) -> None:
    """The join judges lateness by what it reads: the stage must make none."""
    written = whole(logs, WHOLE).written
    late = {
        f"{TOPIC}-{number}@{offset}".encode()
        for number, log in enumerate(logs)
        for offset in range(len(log))
        if log[offset].kind != "garbage"
        and log[offset].time_ms
        < max((each.time_ms for each in log[:offset] if each.kind != "garbage"), default=0) - DISORDER_MS
    }
    on_time = [each.timestamp_ms for each in written if each.headers[0][1] not in late]

    assert on_time == sorted(on_time)


@settings(max_examples=200, deadline=None)
@given(raw_logs())
def test_every_record_ends_as_one_thing(logs: list[list[Event]]) -> None:
    """Consumed is used and rejected, when nothing waits any more."""
    stage = opened(PAIRED, len(logs))
    stage.step([batch_of(number, 0, log, paired=True) for number, log in enumerate(logs)])
    stage.finish()
    counts = stage.counts()

    assert counts.get("consumed", 0) == sum(map(len, logs)) == counts.get("used", 0) + counts.get("rejected", 0)
    assert (stage.held_count, stage.held_bytes) == (0, 0)


@pytest.mark.parametrize("rules", [PAIRED, WHOLE], ids=["paired", "whole"])
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_advances_of_idle_partitions_survive_a_restart(rules: Settings, data: st.DataObject) -> None:
    """An advance is part of the log: a stage that begins again goes on as the one would have that made it."""
    logs = data.draw(raw_logs())
    steady, shaken = opened(rules, len(logs)), opened(rules, len(logs))
    runs = Run(), Run()
    done = [0] * len(logs)
    while any(done[number] < len(log) for number, log in enumerate(logs)):
        number = data.draw(st.integers(0, len(logs) - 1))
        size = data.draw(st.integers(0, 3))
        part = batch_of(number, done[number], logs[number][done[number] :][:size], paired=rules is PAIRED)
        done[number] += len(part)
        floor_ms = data.draw(st.integers(BASE_MS, BASE_MS + 700))
        is_advanced = data.draw(st.integers(0, 3)) == 0
        for run, stage in zip(runs, (steady, shaken), strict=True):
            run.add(stage.step([part]))
            if is_advanced:
                run.add(stage.advance({TopicPartition(TOPIC, number): floor_ms}))
        if data.draw(st.booleans()):
            shaken = resumed(shaken, logs, rules, data)
    runs[0].end(steady)
    runs[1].end(shaken)

    assert runs[1].told == runs[0].told


def test_an_idle_partition_holds_nothing_back() -> None:
    """Once it is advanced, the others' records leave."""
    stage = opened(WHOLE, 2)
    first = batch_of(0, 0, [Event("a", BASE_MS, "response"), Event("b", BASE_MS + 100, "response")], paired=False)
    assert stage.step([first]) == ([], [])

    written, _ = stage.advance({TopicPartition(TOPIC, 1): stage.bounds_ms()[TopicPartition(TOPIC, 0)]})

    assert [each.key for each in written] == [b"a"]


def test_halves_that_overtake_each_other_are_paired() -> None:
    """A response may come first, and on another partition."""
    logs = [[Event("a", BASE_MS + 5, "response")], [Event("a", BASE_MS + 20, "request")]]
    (written,) = whole(logs, PAIRED).written

    assert orjson.loads(written.value) == {
        "request_id": "a",
        "prediction": 1,
        "timestamp": BASE_MS + 5,
        "features": {"0": 1, "1": 2},
    }
    assert (written.key, written.timestamp_ms) == (b"a", BASE_MS + 5)


def test_what_finds_no_partner_is_told() -> None:
    """A response alone is a prediction without features, a request alone is refused with the reason."""
    logs = [[Event("a", BASE_MS, "response"), Event("b", BASE_MS + 1, "request")], []]
    run = whole(logs, PAIRED)

    assert [orjson.loads(each.value).get("features") for each in run.written] == [None]
    (refused,) = run.rejected
    reasons = [value for name, value in refused.headers if name == "__connect.errors.exception.message"]
    assert reasons == [b"no response to the request came within pair_within, 40 ms of event time"]


def test_an_error_is_no_prediction() -> None:
    """Both halves are rejected: nothing was predicted."""
    run = whole([[Event("a", BASE_MS, "request"), Event("a", BASE_MS + 1, "error")]], PAIRED)

    assert run.written == []
    assert Counter(each.value for each in run.rejected) == {
        b'{"instances":[[1,2]]}': 1,
        b'{"error":"out of memory"}': 1,
    }


def test_a_wrong_clock_moves_no_bound() -> None:
    """A time far ahead of Kafka's is refused before it can make all that follows late."""
    batch = batch_of(0, 0, [Event("a", BASE_MS + 5, "response")], paired=False)
    batch.timestamps = [BASE_MS - 3_600_000]
    stage = opened(WHOLE, 1)
    written, refused = stage.step([batch])

    assert (written, len(refused)) == ([], 1)
    assert stage.bound_ms < 0
