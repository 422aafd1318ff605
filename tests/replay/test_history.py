"""Files as a history: partitions by directories, and what a report can say of them."""

import os
from pathlib import Path

import orjson
import pytest

from streamguard.errors import ConfigError
from streamguard.replay.backtesting import Question, backtest
from streamguard.replay.history import History, of_files
from tests.replay.helpers import settings, story
from tests.replay.reading import json_lines


def written(root: Path, numbers: list[int] | dict[str, list[int]], count: int = 1) -> History:
    """Predictions and labels in files, of these partitions each."""
    by_side = numbers if isinstance(numbers, dict) else {"predictions": numbers, "labels": numbers}
    for name, records in zip(("predictions", "labels"), story(count), strict=True):
        for number in by_side[name]:
            path = root / name / f"partition={number}" / "a.jsonl"
            path.parent.mkdir(parents=True)
            path.write_bytes(json_lines(records))
    return of_files(settings(), [root / "predictions"], [root / "labels"])


def test_partitions_are_counted_from_0(tmp_path: Path) -> None:
    """Each with both its sides."""
    pairs = written(tmp_path, [1, 0]).pairs
    assert [(each.number, each.predictions.partition, each.labels.topic) for each in pairs] == [
        (0, 0, "labels"),
        (1, 1, "labels"),
    ]


@pytest.mark.parametrize(
    ("numbers", "words"), [([20260101, 20260102], "20260102, and none 0"), ([0, 2], "2, and none 1")]
)
def test_a_number_that_is_left_out_is_told(tmp_path: Path, numbers: list[int], words: str) -> None:
    """It may be a date, which would mean millions of partitions, or one that holds nothing: how to mend is said."""
    with pytest.raises(ConfigError, match=rf"there is a partition {words}: .* rename .* such as partition=\d+/none"):
        written(tmp_path, numbers)


def test_a_side_without_a_partition_is_told(tmp_path: Path) -> None:
    """Since nothing in it would ever be matched."""
    with pytest.raises(ConfigError, match="no labels of partition 1"):
        written(tmp_path, {"predictions": [0, 1], "labels": [0]})


def test_a_partition_may_be_empty(tmp_path: Path) -> None:
    """With a file that holds nothing."""
    for side in ("predictions", "labels"):
        path = tmp_path / side / "partition=0" / "none.jsonl"
        path.parent.mkdir(parents=True)
        path.touch()
    assert len(written(tmp_path, [1]).pairs) == 2


def test_names_that_are_not_utf_8(tmp_path: Path) -> None:
    """The report is written, and says that explain will not find the file."""
    paths = [tmp_path / os.fsdecode(b"caf\xe9.jsonl"), tmp_path / "labels.jsonl"]
    for path, records in zip(paths, story(), strict=True):
        path.write_bytes(json_lines(records))
    found = backtest(settings(), of_files(settings(), paths[:1], paths[1:]), Question(processes=1))
    inputs = orjson.loads(orjson.dumps(found.inputs))
    assert inputs["predictions"].endswith(r"caf\xe9.jsonl")
    assert [each["path"] for each in inputs["files"]["predictions"]] == [inputs["predictions"]]
    assert any(r"caf\xe9.jsonl is not UTF-8" in note and "explain" in note for note in found.notes)


def test_a_damaged_file_hides_none(tmp_path: Path) -> None:
    """What follows it is judged, and the report is marked, with the name and the row of each that is damaged."""
    predictions, labels = story()
    for number in range(4):
        part = slice(500 * number, 500 * number + 500)
        (tmp_path / f"p{number}.jsonl").write_bytes(json_lines(predictions[part]))
        (tmp_path / f"l{number}.jsonl").write_bytes(json_lines(labels[part]))
    for name in ("p0", "l1"):
        (tmp_path / f"{name}.jsonl").rename(tmp_path / f"{name}.jsonl.gz")
    found = backtest(settings(), of_files(settings(), [tmp_path / "p*"], [tmp_path / "l*"]), Question(processes=1))
    assert [each["kind"] for each in found.alerts] == ["mismatch_drift"]
    assert found.partial is not None
    assert found.partial.count("after 0 rows, which were read") == 2
    assert "p0.jsonl.gz: is damaged" in found.partial
    assert "l1.jsonl.gz: is damaged" in found.partial
