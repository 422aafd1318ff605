"""The outcomes topic: what is written can be read, and what is not of this form is refused."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from streamguard.core.codec import Route, objects
from streamguard.core.outcomes import NO_OFFSET, Half, OutcomeWriter, read_outcomes
from streamguard.core.records import Output, Stream
from streamguard.core.texts import Texts
from tests.core.helpers import THRESHOLD, Row, documents, rows_of, topology

NAN = float("nan")
Side = tuple[int, int, Any]
"""Of a prediction or a label: its offset, event time and value."""


def writer(*names: str, targets: int = 1, with_scores: bool = False, source: int = 3) -> OutcomeWriter:
    """A writer for monitors of these names."""
    monitors: list[dict[str, Any]] = [{"name": name, "threshold": THRESHOLD} for name in names or ("m",)]
    score: dict[str, Any] = {}
    if with_scores:
        monitors.append({"name": "scored", "loss": "brier", "detectors": [{"type": "adwin"}]})
        score = {"predictions": {"fields": {"score": "score"}}}
    return OutcomeWriter(source, topology(*monitors, sources=5, targets=targets, **score).join)


def half(*sides: Side, scores: Sequence[float] | None = None, routes: Sequence[Route] | None = None) -> Half:
    """Columns of predictions or labels."""
    offsets, times, values = zip(*sides, strict=True)
    return Half(
        np.array(offsets),
        np.array(times),
        objects(values),
        None if scores is None else np.array(scores),
        None if routes is None else objects(routes),
    )


def add(
    to: OutcomeWriter,
    *request_ids: str,
    monitors: tuple[int, ...] = (0,),
    segments: Sequence[str] = ("DE",),
    at: int = 5,
) -> None:
    """Collect pairs, all at the same places; the segments go round."""
    count = len(request_ids)
    routes = [tuple((number, (segment,)) for number in monitors) for segment in segments]
    prediction = half(*[(at, at, "x")] * count, routes=[routes[row % len(routes)] for row in range(count)])
    to.add(Texts.of(request_ids), prediction, half(*[(at + 1, at + 2, "y")] * count))


def one(outputs: list[Output]) -> Output:
    """The only output."""
    (output,) = outputs
    return output


def test_a_record_is_columns_that_a_person_can_read() -> None:
    """The form is a contract: another engine may write it in place of the first stage."""
    to = writer()
    add(to, "a")
    to.add(Texts.of(["b"]), half((9, 9, 1.5), routes=[((0, (None,)),)]), half((NO_OFFSET, 20, None)))
    output = one(to.write(17, 1_700_000_000_000))
    assert (output.stream, output.key, output.partition, output.headers) == (Stream.OUTCOMES, b"3", 0, ())
    assert orjson.loads(output.value or b"") == {
        "v": 1,
        "source": 3,
        "sources": 5,
        "sequence": 17,
        "watermark": 1_700_000_000_000,
        "idle": False,
        "blocks": [
            {
                "monitor": "m",
                "segments": [["DE"], [None]],
                "segment": [0, 1],
                "id": ["a", "b"],
                "prediction": ["x", 1.5],
                "label": ["y", None],
                "prediction_time": [5, 9],
                "label_time": [7, 20],
                "prediction_offset": [5, 9],
                "label_offset": [6, -1],
            }
        ],
    }
    assert to.is_empty


def test_what_is_written_can_be_read() -> None:
    """The columns come back with the outcome's time: when the truth became known."""
    to = writer(with_scores=True)
    to.add(
        Texts.of(["a", "b"]),
        half((1, 10, True), (3, 11, "x"), scores=[0.25, NAN], routes=[((0, ()),)] * 2),
        half((2, 4, 1 << 63), (NO_OFFSET, 30, None)),
    )
    record = read_outcomes(one(to.write(1, None)).value)
    assert (record.source, record.sources, record.sequence, record.watermark_ms, record.is_idle) == (
        3,
        5,
        1,
        None,
        False,
    )
    ((name, segments, rows),) = record.blocks
    assert (name, segments) == ("m", [()])
    assert rows.time.tolist() == [10, 30]
    assert rows.source.tolist() == [3, 3]
    assert (rows.prediction_offset.tolist(), rows.label_offset.tolist()) == ([1, 3], [2, -1])
    assert (rows.prediction.tolist(), rows.label.tolist()) == ([True, "x"], [1 << 63, None])
    assert str(rows.score.tolist()) == "[0.25, nan]"


def test_a_step_writes_what_was_collected_since_the_last() -> None:
    """No outcome is written twice."""
    to = writer()
    add(to, "a")
    assert [row.id for row in rows_of(to.write(1, 5))] == ["a"]
    assert to.is_empty
    assert rows_of(to.write(2, 6)) == []


def test_each_outcome_goes_to_the_monitors_on_its_own_route() -> None:
    """Rows of one step differ in whether a monitor takes them, and in the segment that they have there."""
    to = writer("a", "b")
    routes: list[Route] = [((0, ("DE",)),), (), ((0, ("FR",)), (1, ("7",))), ((1, ("7",)),), ((0, ("DE",)),)]
    ids, count = Texts.of(list("vwxyz")), len(routes)
    predictions, labels = [(place, 5, place) for place in range(count)], [(place, 6, -place) for place in range(count)]
    to.add(ids, half(*predictions, routes=routes), half(*labels))
    assert [(row.monitor, row.segment, row.id, row.prediction, row.label) for row in rows_of(to.write(1, 5))] == [
        ("a", ("DE",), "v", 0, 0),
        ("a", ("FR",), "x", 2, -2),
        ("a", ("DE",), "z", 4, -4),
        ("b", ("7",), "x", 2, -2),
        ("b", ("7",), "y", 3, -3),
    ]


def test_no_outcomes_are_no_rows() -> None:
    """A batch may match nothing."""
    to = writer()
    nothing = Half(np.empty(0, np.int64), np.empty(0, np.int64), objects([]), None, objects([]))
    to.add(Texts.of([]), nothing, nothing)
    assert to.is_empty
    assert rows_of(to.write(1, 5)) == []


def test_every_outcomes_partition_gets_the_watermark() -> None:
    """A monitor waits for all sources, so a source that has nothing for it must still say how far it is."""
    to = writer("a", "b", "c", targets=4)
    add(to, "r", monitors=(0, 1, 2))
    outputs = to.write(1, 9)
    assert [output.partition for output in outputs] == [0, 1, 2, 3]
    assert [document["watermark"] for document in documents(outputs)] == [9] * 4
    assert sorted(row.monitor for row in rows_of(outputs)) == ["a", "b", "c"]


def test_monitors_are_written_in_their_own_order() -> None:
    """Which monitor a step met first depends on how poll cut the stream; the record must not."""
    to = writer("a", "b")
    add(to, "r1", monitors=(1,))
    add(to, "r2", monitors=(0, 1))
    assert [row.monitor for row in rows_of(to.write(1, 9))] == ["a", "b", "b"]


def test_large_steps_become_several_records() -> None:
    """No record outgrows Kafka's limit; only the last promises, since rows follow the others."""
    to = writer("a", "b")
    for start in range(0, 9000, 1500):
        add(to, *(f"{start + row:0100}" for row in range(1500)), monitors=(0, 1), segments="012")
    outputs = to.write(4, 9)
    found = documents(outputs)
    assert max(len(output.value or b"") for output in outputs) < 1_000_000
    assert len(outputs) > 2
    assert [document["watermark"] for document in found] == [None] * (len(found) - 1) + [9]
    assert {document["sequence"] for document in found} == {4}
    rows: list[Row] = rows_of(outputs)
    assert [row.id for row in rows if row.monitor == "b"] == [f"{number:0100}" for number in range(9000)]
    assert [row.segment for row in rows[:4]] == [("0",), ("1",), ("2",), ("0",)]
    assert max(len(block["id"]) for document in found for block in document["blocks"]) <= 8192


def test_one_large_outcome_goes_alone() -> None:
    """There is nothing left to split."""
    to = writer()
    add(to, "x" * 950_000)
    add(to, "y")
    assert [len(rows_of([output])) for output in to.write(1, 9)] == [1, 1]


def test_an_idle_source_says_so() -> None:
    """`idle` without a watermark: this source has never had a record."""
    record = read_outcomes(one(writer().write(1, None, is_idle=True)).value)
    assert (record.is_idle, record.watermark_ms) == (True, None)


GOOD = {
    "v": 1,
    "source": 0,
    "sources": 1,
    "sequence": 1,
    "watermark": 5,
    "idle": False,
    "blocks": [
        {
            "monitor": "m",
            "segments": [["DE"]],
            "segment": [0, 0],
            "id": ["a", "b"],
            "prediction": ["x", 1],
            "label": ["x", None],
            "prediction_time": [1, 2],
            "label_time": [3, 4],
            "prediction_offset": [0, 1],
            "label_offset": [0, -1],
        }
    ],
}


def spoilt(**changes: Any) -> bytes:
    """The good record with other entries."""
    return orjson.dumps({**GOOD, **changes})


def spoilt_block(**changes: Any) -> bytes:
    """The good record with other columns."""
    return spoilt(blocks=[{**GOOD["blocks"][0], **changes}])  # type: ignore[index] # a list, above


def test_equal_texts_are_one_object_and_what_only_equals_stays_apart() -> None:
    """Held outcomes share their classes; 1, 1.0 and true are three labels."""
    ((_, _, rows),) = read_outcomes(spoilt_block(prediction=["ab", "ab"], label=[1, True])).blocks
    assert rows.prediction[0] is rows.prediction[1]
    ((_, _, others),) = read_outcomes(spoilt_block(prediction=[1, 1.0], label=[1.0, True])).blocks
    found = [*rows.label, *others.prediction, *others.label]
    assert list(map(repr, found)) == ["1", "True", "1", "1.0", "1.0", "True"]


def test_optional_fields_may_be_left_out() -> None:
    """A writer without scores or idleness need not name them; ints may stand for scores."""
    assert len(read_outcomes(spoilt()).blocks[0][2]) == 2
    without = {name: value for name, value in GOOD.items() if name != "idle"}
    assert read_outcomes(orjson.dumps(without)).is_idle is False
    assert read_outcomes(spoilt_block(score=[1, None])).blocks[0][2].score[0] == 1.0
    assert read_outcomes(spoilt(blocks=[])).blocks == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "not an outcomes record"),
        (b"", "not an outcomes record"),
        (b"hello", "unexpected|expected|JSON"),
        (b"[" * 5000, "depth|recursion|limit"),
        (b"[]", "not an outcomes record"),
        (b"{}", "not an outcomes record: KeyError 'v'"),
        (b'{"v": 1}', "not an outcomes record: KeyError 'source'"),
        (spoilt(v=2), "an outcomes record of version 1 expected, got version 2"),
        (spoilt(source=1), "source 1 is not one of 1 sources"),
        (spoilt(source=-1), "source -1 is not one of"),
        (spoilt(source=True), "source True is not one of"),
        (spoilt(sources="1"), "source 0 is not one of '1' sources"),
        (spoilt(watermark=1.5), "watermark and sequence must be integers"),
        (spoilt(watermark=1 << 62), "watermark 4611686018427387904 is outside 1970 to 9999"),
        (spoilt(sequence=None), "watermark and sequence must be integers"),
        (spoilt(blocks={}), None),
        (spoilt(blocks=5), "not an outcomes record"),
        (spoilt(blocks=["m"]), "not an outcomes record"),
        (spoilt_block(id=["a"]), "the columns of a block differ in length"),
        (spoilt_block(id=["a", 2]), "id must be a list of: str"),
        (spoilt_block(id="ab"), "id must be a list of: str"),
        (spoilt_block(segment=[0, 1]), "a segment number without a segment"),
        (spoilt_block(segment=[0, -1]), "a segment number without a segment"),
        (spoilt_block(segment=[[0], [0]]), "segment must be a list of: int"),
        (spoilt_block(segments=[[["DE"]]]), "a segment must be a list of: null, str"),
        (spoilt_block(segments=["DE"]), "a segment must be a list of: null, str"),
        (spoilt_block(prediction=["x", None]), "prediction must be a list of: bool, float, int, str"),
        (spoilt_block(label=["x", []]), "label must be a list of: bool, float, int, null, str"),
        (spoilt_block(prediction_time=[[1], [2]]), "prediction_time must be a list of: int"),
        (spoilt_block(prediction_time=[1.5, 2]), "prediction_time must be a list of: int"),
        (spoilt_block(prediction_time=["1", "2"]), "prediction_time must be a list of: int"),
        (spoilt_block(prediction_time=[10**17, 2]), "a time outside 1970 to 9999"),
        (spoilt_block(label_time=[-1, 4]), "a time outside 1970 to 9999"),
        (spoilt_block(label_offset=[1 << 63, 4]), "not an outcomes record: OverflowError"),
        (spoilt_block(score=["0.5", None]), "score must be a list of: float, int, null"),
        (spoilt_block(score=[0.5]), "the columns of a block differ in length"),
        (spoilt_block(label_offset=None), "label_offset must be a list of: int"),
    ],
)
def test_what_does_not_follow_the_contract_is_refused(value: bytes | None, words: str | None) -> None:
    """By name, and always with a ValueError: NumPy alone would take text for numbers and nested lists for rows."""
    read: Callable[[], Any] = lambda: read_outcomes(value)  # noqa: E731 - said once
    if words is None:
        assert read().blocks == []
        return
    with pytest.raises(ValueError, match=words):
        read()
