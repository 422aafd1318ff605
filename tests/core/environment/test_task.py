"""The task: cut and resumed anywhere it tells the same, and no bytes make it raise."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.core.environment.fleet import INSTANCES_MAX
from streamguard.core.monitor import ENVIRONMENT
from streamguard.core.records import Output, Stream
from streamguard.core.rejected import reason
from tests.core.environment.fleets import (
    EVERY_MS,
    GIB,
    GONE,
    START_MS,
    Row,
    alerts,
    as_batch,
    fingerprint,
    pods,
    story,
    task,
    told_every,
)
from tests.core.helpers import batch

CHANGES: list[dict[str, Any]] = [
    {},
    GONE,
    {"packages": {"scikit-learn": "1.5.0"}},
    {"packages": {"numpy": "1.26.4"}, "variables": {"OMP_NUM_THREADS": "4"}},
    {"packages": {f"package-{number}": "9" for number in range(20)}},
    {"memory": {"used": int(1.95 * GIB)}},
    {"version": "8"},
    {"packages": None},
]
STORIES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 300), st.sampled_from(CHANGES)), max_size=12)
SETTINGS: dict[str, Any] = {"expect_instances": 4, "grace": "20m"}


def rows_of(drawn: list[tuple[int, int, dict[str, Any]]]) -> list[Row]:
    """Five pods over six hours."""
    changes: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for pod, minute, change in sorted(drawn, key=lambda each: each[1]):
        changes.setdefault(pods()[pod], []).append((minute, change))
    return told_every(360, pods(5), changes)


@settings(max_examples=60, deadline=None)
@given(STORIES, st.lists(st.integers(0, 400), max_size=6))
def test_how_records_are_cut_and_where_the_task_is_resumed_changes_nothing(
    drawn: list[tuple[int, int, dict[str, Any]]], cuts: list[int]
) -> None:
    """Alerts are the same bytes, and what is remembered is."""
    rows = rows_of(drawn)
    whole = task(**SETTINGS)
    expected = whole.step(as_batch(rows))
    outputs: list[Output] = []
    state: dict[bytes | None, bytes | None] = {}
    given_task, start = task(**SETTINGS), 0
    for end in [*sorted({min(cut, len(rows)) for cut in cuts}), len(rows)]:
        outputs += given_task.step(as_batch(rows[start:end], start))
        state |= {each.key: each.value for each in given_task.snapshot(end)}
        given_task, start = task(**SETTINGS), end
        resume = given_task.restore([*state.items()])
        assert resume is not None
        assert (resume.low, resume.position) == (end, end)
    assert outputs == expected
    assert given_task.turns == whole.turns
    heads = [each.snapshot(0)[-1].value for each in (given_task, whole)]
    assert heads[0] == heads[1]


def test_drawn_stories_have_alerts() -> None:
    """So that the law above is about something."""
    drawn = [(1, 30, CHANGES[2]), (2, 40, CHANGES[5]), (2, 90, {}), (3, 90, GONE)]
    found = story(task(**SETTINGS).step(as_batch(rows_of(drawn))))
    assert {status for _, status, _, _ in found} == {"raised", "resolved"}


def test_what_all_have_in_common_is_written_once_and_deleted_when_nobody_has_it() -> None:
    """State of other tasks on the topic is passed over."""
    given_task = task()
    given_task.step(as_batch(told_every(30, pods())))
    first = given_task.snapshot(1)
    # Of two kernels, and the head.
    assert [each.stream for each in first] == [Stream.STATE] * 3
    assert [each.key for each in given_task.snapshot(2)] == [ENVIRONMENT + b"head"]
    later = [(time_ms + 2 * EVERY_MS * 100, each) for time_ms, each in told_every(60, pods(), {})]
    for _, record in later:
        record["packages"]["numpy"] = "3"
    given_task.step(as_batch(later, 1000))
    outputs = given_task.snapshot(3)
    assert {each.value is None for each in outputs} == {True, False}
    state = [(each.key, each.value) for each in (*first, *outputs)]
    restored = task()
    assert restored.restore([(b"[0,{}]", b"not ours"), *state]) is not None
    assert restored.snapshot(3)[-1] == outputs[-1]


def test_state_of_another_version_is_refused() -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="state of version 1 expected, got 2"):
        task().restore([(ENVIRONMENT + b"head", b'{"v": 2, "state": {}}')])
    assert task().restore([]) is None


def test_new_trouble_within_the_cooldown_is_told_at_its_end() -> None:
    """A second pod is an update then; one that comes back soon is raised then."""
    other = {"packages": {"scikit-learn": "1.5.0"}}
    changes = {"pod-7": [(60, other), (300, {}), (310, other)], "pod-9": [(70, other), (290, {})]}
    found = story(task(cooldown_ms=90 * 60_000).step(as_batch(told_every(500, pods(), changes))))
    assert [(minute, status) for minute, status, _, _ in found] == [
        (103, "raised"),
        (293, "updated"),
        (302, "resolved"),
        (392, "raised"),
    ]


def test_turns_are_what_began_and_ended() -> None:
    """Each once, with the time since which it is so."""
    other = {"packages": {"scikit-learn": "1.5.0"}}
    given_task = task()
    given_task.step(as_batch(told_every(300, pods(), {"pod-7": [(60, other), (180, {})], "pod-8": [(100, other)]})))
    assert [(turn.is_wrong, turn.subject) for turn in given_task.turns] == [(True, "package scikit-learn of fraud 7")]
    assert given_task.turns[0].since_ms < given_task.turns[0].time_ms


WRONG: list[tuple[bytes | None, str]] = [
    (None, "tombstone"),
    (b"{", "not JSON"),
    (b"[1]", "expected a JSON object"),
    (b"{}", "field 'type' must be 'fingerprint'"),
    (b'{"type": ["fingerprint"]}', "field 'type' must be"),
    (b'{"type": "fingerprint"}', "version null: expected 1"),
    (b'{"type": "fingerprint", "v": 1}', "'instance' is null"),
    (b'{"type": "fingerprint", "v": 1, "instance": ""}', "'instance' is empty"),
    (orjson.dumps(fingerprint("p" * 301)), "at most 300"),
    (orjson.dumps({**fingerprint("p"), "packages": [1]}), "'packages' is an array"),
    (orjson.dumps(fingerprint("p", packages={"a": 1})), "version of package 'a'"),
    (orjson.dumps(fingerprint("p", packages={f"p{n}": "1" for n in range(6000)})), "at most 5000"),
    (orjson.dumps(fingerprint("p", variables={"A": "v" * 3000})), "at most 2000"),
    (orjson.dumps(fingerprint("p", facts={"a": [[]]})), "is an array"),
    (orjson.dumps(fingerprint("p", gpu={"devices": "one"})), "'gpu.devices'"),
    (b'{"type": "fingerprint", "v": ' + b"[" * 900 + b"]" * 900 + b"}", "version an array"),
    (b" " * 2_000_000, "bytes"),
]


@pytest.mark.parametrize(("value", "why"), WRONG)
def test_what_cannot_be_used_is_rejected_with_the_reason(value: bytes | None, why: str) -> None:
    """And changes nothing."""
    given_task = task()
    (output,) = given_task.step(batch([value], START_MS, topic="environment"))
    assert output.stream is Stream.REJECTED
    assert why in reason(output)[1]
    before = orjson.loads(task().snapshot(0)[-1].value or b"")["state"]
    after = orjson.loads(given_task.snapshot(0)[-1].value or b"")["state"]
    assert after.pop("counts") != before.pop("counts")
    assert after == before


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 63), (1 << 64) - 1) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*fingerprint("p"), "gpu", "files", "process", "preprocessing"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.dictionaries(NAMES, JSON, max_size=4), st.integers(-5, 1 << 62)), max_size=6))
def test_no_record_makes_it_raise(drawn: list[tuple[dict[str, Any], int]]) -> None:
    """Whatever it says and whenever; what is taken is bounded and can be written."""
    given_task = task(expect_instances=3)
    rows = [(time_ms, {**fingerprint("p"), **fields}) for fields, time_ms in drawn]
    outputs = given_task.step(as_batch(rows))
    assert sum(given_task.counts[name] for name in ("taken", "rejected")) == len(rows)
    assert len(outputs) <= 8 * len(rows) + 8
    state = [(each.key, each.value) for each in given_task.snapshot(1)]
    assert task().restore(state) is not None


def test_instances_are_bounded() -> None:
    """One too many is rejected, with the reason."""
    least = {"v": 1, "type": "fingerprint"}
    rows = [(START_MS, {**least, "instance": f"pod-{number}"}) for number in range(INSTANCES_MAX + 1)]
    (output,) = task().step(as_batch(rows))
    assert f"one more than the {INSTANCES_MAX}" in reason(output)[1]


def test_structured_alerts_of_two_differences_have_their_own_ids() -> None:
    """Both are set off by one record."""
    other = {"packages": {"scikit-learn": "1.5.0"}, "variables": {"CUDA_VISIBLE_DEVICES": None}}
    found = alerts(task().step(as_batch(told_every(120, pods(), {"pod-7": [(0, other)]}))))
    assert len({each["id"] for each in found}) == len({each["episode"] for each in found}) == 2
    assert len({each["event_time"] for each in found}) == 1
