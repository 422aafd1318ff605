"""What stands beside a committed offset."""

import orjson
import pytest

from streamguard.core.join import Input, JoinTask
from streamguard.core.note import Note
from streamguard.core.waiting import NEVER
from tests.core.helpers import batch, label, prediction, topology


def test_a_note_comes_back_from_its_text() -> None:
    """Nothing of it is lost."""
    note = Note(5, 17, ((6, 18), (9, 20)), {"consumed": 3}, 4, 16)
    assert Note.decode(note.encode()) == note


@pytest.mark.parametrize("text", ["", "hello", "[]", "{}", '{"v": 2}', '"x"'])
def test_a_note_of_somebody_else_is_refused(text: str) -> None:
    """An offset that another program committed must not be taken for ours."""
    with pytest.raises(ValueError, match=r"commit metadata of version 1 expected|unexpected|JSON|Input"):
        Note.decode(text)


def test_a_note_is_small_plain_json() -> None:
    """It must fit into 4,096 bytes of commit metadata, and says what it is."""
    task = JoinTask(0, topology().join)
    task.step(batch([prediction("a"), b"junk"], 5), batch([label("b")], 5, topic="labels"))
    text = task.note(Input.PREDICTIONS)
    assert len(text) < 250
    assert orjson.loads(text) == {
        "v": 1,
        "low": 0,
        "clock": NEVER,
        "floors": [],
        "counts": {"consumed": 2, "matched": 0, "expired": 0, "late": 0, "duplicate": 0, "rejected": 1},
        "seq": 1,
        "watermark": 5,
        "rules": [0, 10, 0],
    }
