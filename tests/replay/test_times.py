"""The event times of rows, found without parsing: the same as parsing finds, whoever wrote the rows."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.fields import Path, Unreadable, document_of, parse_time_ms, pick
from streamguard.core.records import Blobs
from streamguard.replay.times import UNKNOWN, Times

NOW_MS = 1_767_571_200_000
BYTES_MAX = 1 << 20


def parsed(rows: Sequence[bytes | None], path: Path) -> list[int]:
    """One by one, as the reader of records does."""
    found = []
    for row in rows:
        try:
            found.append(parse_time_ms(pick(document_of(row, BYTES_MAX), path)))
        except Unreadable:
            found.append(UNKNOWN)
    return found


def read(rows: Sequence[bytes | None], path: Path = ("at",), size: int = 1000) -> list[int]:
    """In batches of this size."""
    reader = Times(path, BYTES_MAX)
    return [each for first in range(0, len(rows), size) for each in reader.read(rows[first : first + size]).tolist()]


def test_a_name_that_stands_twice_is_read_as_the_core_reads_it() -> None:
    """From the middle of the file on another object has the name, too, or the row has it twice."""
    plain = [orjson.dumps({"id": n, "at": NOW_MS + n}) for n in range(300)]
    nested = [orjson.dumps({"user": {"at": NOW_MS - 10**9}, "id": n, "at": NOW_MS + n}) for n in range(300)]
    twice = [b'{"at": %d, "at": %d}' % (NOW_MS - 5, NOW_MS + n) for n in range(300)]
    rows: list[bytes | None] = [*plain, None, *nested, *twice, *plain]
    for size in (1, 7, 1000):
        assert read(rows, size=size) == parsed(rows, ("at",))


TIMES = st.one_of(
    st.integers(NOW_MS - 10**9, NOW_MS + 10**9),
    st.sampled_from(
        [0, 7, 10**12 - 1, 10**12, 10**13, 253_402_300_799_999, 10**15, -5, NOW_MS + 0.5, 1e12, True, None]
    ),
    st.sampled_from(["2026-01-05T00:00:00Z", "2026-01-05T00:00:00.5+01:00", "2026-01-05", f"{NOW_MS}", "x", {}, []]),
)
TEXTS = st.text('a"\\:at,', max_size=6)


@st.composite
def rows_of_json(draw: st.DrawFn) -> bytes | None:
    """A row as programs write it, and some as none does."""
    fields: list[tuple[str, Any]] = [("id", draw(TEXTS)), ("x", draw(st.floats(0, 1)))]
    fields.insert(draw(st.integers(0, 2)), ("at", draw(TIMES)))
    row: dict[str, Any] = dict(fields[: draw(st.integers(1, 3))])
    text = orjson.dumps(row) if draw(st.booleans()) else b", ".join(orjson.dumps(row).split(b","))
    text = text.replace(b'"at":', draw(st.sampled_from([b'"at":', b'"at": ', b'"at"  :', b'"\\u0061t":'])))
    return draw(st.sampled_from([text, text, text, text, text[:-1], None, b"", b"[]"]))


@given(st.lists(rows_of_json(), max_size=150), st.integers(1, 60))
def test_times_are_those_that_parsing_finds(rows: list[bytes | None], size: int) -> None:
    """Wherever the field is, whatever it holds, however rows are cut into batches; what is no row may have a time."""
    expected = parsed(rows, ("at",))
    found = read(rows, size=size)
    whole = [row is not None and not row.startswith(b"[") and row.endswith(b"}") for row in rows]
    assert [f for f, w in zip(found, whole, strict=True) if w] == [e for e, w in zip(expected, whole, strict=True) if w]


@pytest.mark.parametrize(
    "row",
    [
        lambda n: {"at": NOW_MS + n},
        lambda n: {"id": "x" * (n % 50), "at": NOW_MS + n, "y": n / 7},
        lambda n: {"id": "x" * (n % 3), "meta": {"at": 5}, "at": NOW_MS + n},
        lambda n: {"text": '"at":1', "a\\t": 3, "at": NOW_MS + n},
        lambda n: {"id": n, "at": f"2026-01-05T00:{n % 60:02}:00Z"},
    ],
)
def test_rows_of_one_program(row: Any) -> None:
    """At fixed places and others, behind another field of the name, and as text."""
    rows = [orjson.dumps(row(number)) for number in range(3000)]
    assert read(rows) == parsed(rows, ("at",))


def test_a_path_leads_through_objects() -> None:
    """And a field of the same name that is not the one is left alone."""
    rows = [orjson.dumps({"at": 10**12 + 5, "meta": {"at": NOW_MS + number}}) for number in range(1000)]
    assert read(rows, ("meta", "at")) == parsed(rows, ("meta", "at"))
    assert read(rows, ("at", "at")) == [UNKNOWN] * 1000


def test_few_rows_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first hundred, which prove that the field is the one that is meant; so it is fast."""
    rows = Blobs.of([orjson.dumps({"id": f"r{number}", "at": NOW_MS + number}) for number in range(5000)])
    looked = list[bytes | None]()

    def spy(row: bytes | None, record_bytes: int) -> dict[str, Any]:
        looked.append(row)
        return document_of(row, record_bytes)

    monkeypatch.setattr("streamguard.core.fields.document_of", spy)
    assert read(rows) == list(range(NOW_MS, NOW_MS + 5000))
    assert looked == list(rows)[:100]
