"""Text as rows: wherever chunks are cut, whatever ends lines; and files that are no JSON Lines."""

import csv
import io
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.replay import lines, packed
from streamguard.replay.lines import Quoted, split, whole_rows
from streamguard.replay.sources import DamagedFileError
from tests.replay.reading import documents, json_lines, labels, record, rows

PIECES = st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b"bc", b" ", b"d" * 9])
TEXTS = st.lists(PIECES, max_size=60).map(b"".join)
CUTS = st.lists(st.integers(0, 120), max_size=12)


def reference(text: bytes) -> list[tuple[int, bytes]]:
    """Lines that are not empty, with their numbers, one by one."""
    found = text.split(b"\n")
    if not found[-1]:
        found.pop()
    stripped = [line.removesuffix(b"\r") for line in found]
    return [(number, line) for number, line in enumerate(stripped) if line]


def chunks_of(text: bytes, cuts: list[int]) -> list[tuple[bytes, int]]:
    """A text in chunks, with the position at the end of each."""
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [(text[start:end], end) for start, end in pairwise(places)]


@given(TEXTS, CUTS)
def test_lines_are_the_same_wherever_chunks_are_cut(text: bytes, cuts: list[int]) -> None:
    """As read one by one, whichever chunks they come in; and the position grows to the end."""
    found: list[tuple[int, bytes | None]] = []
    passed = 0
    ends = []
    for block, at in whole_rows(chunks_of(text, cuts), lambda chunk: chunk.rfind(b"\n") + 1):
        values, numbers, count = split(block)
        found += zip((numbers + passed).tolist(), values, strict=True)
        passed += count
        ends.append(at)
    assert found == reference(text)
    assert ends == sorted(ends)
    assert ends[-1:] == [len(text)][: len(ends)]


@given(st.lists(st.lists(st.text('a",\n', max_size=4), min_size=2, max_size=2), max_size=12), CUTS)
def test_rows_of_csv_are_not_cut_within_quotes(table: list[list[str]], cuts: list[int]) -> None:
    """Each block holds whole rows, and all together all of them."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(table)
    found: list[list[str]] = []
    for block, _ in whole_rows(chunks_of(text.getvalue().encode(), cuts), Quoted()):
        found += csv.reader(io.StringIO(block.decode(), newline=""), strict=True)
    assert found == table


@given(TEXTS, st.integers(1, 40), st.integers(1, 7))
def test_files_are_read_in_bounded_parts(text: bytes, chunk_bytes: int, rows_max: int) -> None:
    """In small chunks and small parts all is as read one by one; each part tells how far it is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packed, "opened", lambda _: io.BytesIO(text))
        patch.setattr(packed, "CHUNK_BYTES", chunk_bytes)
        patch.setattr(lines, "ROWS_MAX", rows_max)
        patch.setattr(lines, "Head", Unjudged)
        parts = list(lines.json_lines(Path("x.jsonl"), ()))
    found = [each for part in parts for each in zip(part.rows.tolist(), part.values, strict=True)]
    assert found == reference(text)
    assert all(len(part.rows) <= rows_max for part in parts)
    assert all(part.passed > part.rows[-1] for part in parts if len(part.rows))
    assert all(part.passed <= after.rows[0] for part, after in pairwise(parts) if len(after.rows))
    told = [(part.passed, part.read) for part in parts]
    assert told == sorted(told)
    if text:
        assert told[-1] == (text.count(b"\n") + (not text.endswith(b"\n")), len(text))


class Unjudged:
    """Takes any rows."""

    def __init__(self, *_: object) -> None: ...
    def see(self, _: object) -> None: ...
    def end(self) -> None: ...


def test_a_line_may_be_larger_than_a_chunk(tmp_path: Path) -> None:
    """It arrives whole, and the rows around it too."""
    records = [record(0), record(1, note="x" * (3 * packed.CHUNK_BYTES)), record(2)]
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines(records))
    assert documents(labels(path)) == records


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than to take it all into memory; what is before it is read."""
    monkeypatch.setattr(packed, "CHUNK_BYTES", 100)
    monkeypatch.setattr(lines, "ROW_BYTES_MAX", 2000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines([record(0), record(1)]) + b'{"' + b"x" * 3000)
    batches = labels(path).batches()
    assert len(next(batches)) == 2
    with pytest.raises(DamagedFileError, match=r"a\.jsonl: a row has more than .* after 2 rows"):
        next(batches)


def test_marks_and_line_ends(tmp_path: Path) -> None:
    """A UTF-8 mark, CRLF, empty lines and a last line without an end change no record; empty lines count."""
    path = tmp_path / "a.jsonl"
    one, two, three = (json_lines([record(number)]).strip() for number in range(3))
    path.write_bytes(b"\xef\xbb\xbf" + one + b"\r\n\r\n" + two + b"\n\n\n" + three)
    assert rows(labels(path)) == [(0, one), (2, two), (5, three)]


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf", b"\n", b"\r\n\n"])
def test_a_file_may_be_empty(tmp_path: Path, text: bytes) -> None:
    """Then it has no records."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(text)
    assert rows(labels(path)) == []


def test_records_that_are_not_readable_are_left_to_the_reader(tmp_path: Path) -> None:
    """A line that is no JSON or no UTF-8 is a record like others."""
    path = tmp_path / "a.jsonl"
    odd = [b"garbage", b'{"request_id": "\xff"}', b"[1]", b" ", b"null"]
    path.write_bytes(b"\n".join([*odd, json_lines([record(0)])]))
    assert [value for _, value in rows(labels(path))][:-1] == odd


PLAIN = json_lines([record(number) for number in range(3)])
PRETTY = b'{\n  "request_id": "a",\n  "label": 1,\n  "time": 5\n}\n'
REFUSED = {
    "mark-le": (
        "a.jsonl",
        "\ufeff{}\n".encode("utf-16-le"),
        r"a\.jsonl: the file is UTF-16.* iconv -f UTF-16 -t UTF-8",
    ),
    "mark-be": ("a.jsonl", "\ufeff\u4e2d\u6587".encode("utf-16-be"), r"the file is UTF-16.* iconv -f UTF-16 -t UTF-8"),
    "no-mark": ("a.jsonl", PLAIN.decode().encode("utf-16-le"), r"NUL bytes.*is UTF-16.* iconv -f UTF-16 -t UTF-8"),
    "late-nul": ("a.jsonl", json_lines([record(n) for n in range(99)]) + b"\0\n", "NUL bytes"),
    "array": (
        "a.json",
        b" \n[" + PLAIN.replace(b"\n", b",") + b"]",
        r"one JSON array.*jq -c '\.\[\]' a\.json > a\.jsonl",
    ),
    "pretty": ("a.json", PRETTY, r"none of the first 5 rows is a JSON object.* jq -c \."),
    "scalars": ("a.jsonl", b"1\n2\n", r"none of the first 2 rows is a JSON object"),
    "gzip": ("a.jsonl", b"\x1f\x8b\x08\x00rest\n", r"those of a \.gz file: rename"),
    "parquet": ("a.jsonl", b"PAR1rest\n", r"those of a \.parquet file: rename"),
}


@pytest.mark.parametrize(("name", "text", "words"), REFUSED.values(), ids=REFUSED)
def test_files_of_other_kinds_are_refused(tmp_path: Path, name: str, text: bytes, words: str) -> None:
    """With a sentence that says what they are, and how to mend it."""
    path = tmp_path / name
    path.write_bytes(text)
    with pytest.raises(ConfigError, match=words):
        rows(labels(path))


def test_only_the_first_rows_are_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A NUL byte after a hundred rows is a bad record, and an array in a file of another name too."""
    monkeypatch.setattr(packed, "CHUNK_BYTES", 1000)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"[1]\n" + json_lines([record(number) for number in range(99)]) + b"\0\n")
    assert len(rows(labels(path))) == 101


MISSING = {
    "near": (
        [{"request_ID": "a", "label": 1, "time": 2}],
        r"no field 'request_id', there is request_ID, .*mean request_ID\?",
    ),
    "inside": ([{"meta": {"request_id": "a"}, "label": 1, "time": 2}], r"did you mean meta\.request_id\?"),
    "other": ([{"request_id": "a", "x": 1, "time": 2}], r"no field 'label', there is request_id, x, time\. The"),
    "no-time": ([{"request_id": "a", "label": 1}] * 200, r"no field 'time'"),
    "late": ([{"request_id": "a", "label": 1}] * 100 + [record(0)], r"no field 'time'"),
    "empty": ([{}], r"no field 'request_id', there is none"),
}


@pytest.mark.parametrize(("records", "words"), MISSING.values(), ids=MISSING)
def test_a_field_that_is_nowhere_is_told(tmp_path: Path, records: list[object], words: str) -> None:
    """With the fields that are there, and the one that was probably meant."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines(records))
    with pytest.raises(ConfigError, match=rf"a\.jsonl: .*{words}"):
        rows(labels(path))


def test_one_record_with_a_field_is_enough(tmp_path: Path) -> None:
    """Among the first hundred; null counts, since it is there."""
    path = tmp_path / "a.jsonl"
    records = [{"request_id": "a"}] * 98 + [{"label": None, "time": 1}]
    path.write_bytes(b"garbage\n" + json_lines(records))
    assert len(rows(labels(path))) == 100


def test_fields_may_be_nested(tmp_path: Path) -> None:
    """A path leads through objects."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(json_lines([{"meta": {"id": "a", "x": 1}, "label": 1, "time": 2}]))
    assert len(rows(labels(path, needed=(("meta", "id"), ("label",))))) == 1
    with pytest.raises(ConfigError, match=r"no field 'meta\.uid', there is meta\.id, meta\.x, .*mean meta\.id\?"):
        rows(labels(path, needed=(("meta", "uid"),)))
