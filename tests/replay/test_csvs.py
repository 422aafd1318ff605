"""CSV: rows read as the same rows of JSON Lines, and cells for what they are."""

import csv
import gzip
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from streamguard.core.codec import Mapping, Reader
from streamguard.errors import ConfigError
from streamguard.replay import csvs, packed
from streamguard.replay.sources import DamagedFileError
from tests.replay.reading import LABELS, NEEDED, columns, documents, json_lines, labels, listed, record, rows

RECORDS = [
    record(number, request_id=f"{number:03}", label=["cat", 'a "b", c\nd', "ö", "x"][number % 4], score=number / 70_000)
    for number in range(70_000)
]
ID = (("request_id",),)


def text_of(records: Iterable[dict[str, Any]], end: str = "\n") -> bytes:
    """Records as CSV."""
    text = io.StringIO(newline="")
    found = list(records)
    writer = csv.DictWriter(text, list(found[0]), lineterminator=end)
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue().encode()


def write(path: Path, data: bytes | str) -> Path:
    """A file."""
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def cells(path: Path, *columns_: list[str]) -> list[list[Any]]:
    """What becomes of the cells of columns `a`, `b`, …, in a file beside a column of request IDs."""
    names = "abcdefghi"[: len(columns_)]
    count = len(columns_[0])
    records = [{"request_id": f"r{n}"} | {k: c[n] for k, c in zip(names, columns_, strict=True)} for n in range(count)]
    found = documents(labels(write(path, text_of(records)), needed=ID))
    return [[each[name] for each in found] for name in names]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("chunk_bytes", [100_000, 4 << 20])
def test_csv_is_read_as_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, chunk_bytes: int) -> None:
    """Batch by batch the same records, with a UTF-8 mark, packed, and in any chunks; the ID is text."""
    monkeypatch.setattr(packed, "CHUNK_BYTES", chunk_bytes)
    expected = listed(columns(labels(write(tmp_path / "a.jsonl", json_lines(RECORDS)))))
    text = text_of(RECORDS, end)
    assert listed(columns(labels(write(tmp_path / "a.csv", b"\xef\xbb\xbf" + text)))) == expected
    source = labels(write(tmp_path / "a.csv.gz", gzip.compress(text.rstrip())))
    assert listed(columns(source)) == expected
    read: list[int] = []
    assert sum(len(batch) for batch in source.batches(read.append)) == 70_000
    assert read == sorted(read)
    assert read[-1] == source.size


def test_cells_are_what_their_column_is(tmp_path: Path) -> None:
    """Numbers, true and false, or text; nothing where there is nothing."""
    given: dict[str, tuple[list[str], list[Any]]] = {
        "whole": (["1", "-20", "", "0"], [1, -20, None, 0]),
        "numbers": (["1", "1.5", ".5", "-1e-05"], [1.0, 1.5, 0.5, -1e-05]),
        "nothing": (["NA", "2.", "NaN", "null"], [None, 2.0, None, None]),
        "boolean": (["True", "false", "", "TRUE"], [True, False, None, True]),
        "zeros": (["007", "1", "2", "3"], ["007", "1", "2", "3"]),
        "long": (["1234567890123456789", "1", "2", "3"], ["1234567890123456789", "1", "2", "3"]),
        "text": (["NA", "1", "x", ""], ["NA", "1", "x", None]),
        "signs": (["+5", "inf", " 1", "0x1"], ["+5", "inf", " 1", "0x1"]),
        "digits": (["\u0661", "1", "2", "3"], ["\u0661", "1", "2", "3"]),
    }
    found = cells(tmp_path / "a.csv", *(texts for texts, _ in given.values()))
    assert [[(type(cell), cell) for cell in column] for column in found] == [
        [(type(cell), cell) for cell in expected] for _, expected in given.values()
    ]


def test_a_cell_that_is_not_what_its_column_is_stands_alone(tmp_path: Path) -> None:
    """After the rows that decided: only its own record differs, the others are read as ever."""
    records = [record(number, score=0.5, nested=7) for number in range(40_000)]
    records[20_000]["score"] = "oops"
    records[30_000]["nested"] = "1.5"
    records[30_001]["nested"] = "007"
    records[30_002]["nested"] = "true"
    text = text_of(records).replace(b"nested", b"meta.x", 1)
    source = labels(write(tmp_path / "a.csv", text))
    found, reader, rejected = documents(source), Reader(LABELS), []
    for batch in source.batches():
        rejected += [(int(batch.offsets[each.index]), each.reason) for each in reader.read(batch)[1]]
    assert rejected == [(20_000, "field 'score' is not a probability from 0 to 1")]
    assert [found[number]["score"] for number in (19_999, 20_000, 20_001)] == [0.5, "oops", 0.5]
    assert [found[number]["meta"] for number in range(29_999, 30_004)] == [{"x": x} for x in (7, 1.5, "007", True, 7)]


def test_a_column_that_begins_empty_is_read_cell_by_cell(tmp_path: Path) -> None:
    """There is nothing to judge it by."""
    texts = [""] * 12_000 + ["0.5", "x", "NA", "7"]
    assert cells(tmp_path / "a.csv", texts)[0][-5:] == [None, 0.5, "x", None, 7]


def test_many_rows_say_what_a_column_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several chunks."""
    monkeypatch.setattr(packed, "CHUNK_BYTES", 1000)
    texts = ["7"] * 5000 + ["x"]
    assert cells(tmp_path / "a.csv", texts) == [texts]


def test_a_header_may_be_quoted(tmp_path: Path) -> None:
    """With line breaks, commas and quotes in the names."""
    path = write(tmp_path / "a.csv", '"a\n""b"", c",request_id\n1,r\n')
    assert documents(labels(path, needed=ID)) == [{'a\n"b", c': 1, "request_id": "r"}]


def test_the_first_file_says_what_columns_are(tmp_path: Path) -> None:
    """So that a class that looks like a number is of one type in all files of a source."""
    one = write(tmp_path / "1.csv", text_of([record(0, label="1"), record(1, label="other")]))
    two = write(tmp_path / "2.csv", text_of([record(2, label="2", more="5")]))
    assert [each["label"] for each in documents(labels(one, two))] == ["1", "other", "2"]
    assert documents(labels(two, one))[0]["label"] == 2
    assert documents(labels(one, two))[2]["more"] == 5


@pytest.mark.parametrize(
    "text",
    [
        "1704110400000",
        "2024-01-01 12:00:00",
        "2024-01-01T12:00",
        "2024-01-01 12:00:00.000",
        "2024-01-01T13:00:00+01:00",
    ],
)
def test_times_without_a_zone_are_utc(tmp_path: Path, text: str) -> None:
    """In the column of the event time; other columns are what they say."""
    source = labels(write(tmp_path / "a.csv", text_of([record(0, time=text, label="2024-01-01 12:00:00")])))
    found = columns(source, Mapping(*NEEDED[:2], time=("time",)))
    assert (found.times.tolist(), found.values.tolist()) == ([1_704_110_400_000], ["2024-01-01 12:00:00"])


def test_a_date_is_its_first_moment(tmp_path: Path) -> None:
    """In UTC."""
    source = labels(write(tmp_path / "a.csv", text_of([record(0, time="2024-01-01")])))
    assert columns(source, Mapping(*NEEDED[:2], time=("time",))).times.tolist() == [1_704_067_200_000]


def test_rows_are_numbered_with_the_empty_ones(tmp_path: Path) -> None:
    """From 0 below the header, and on over all files; a column without a name is left out."""
    one = write(tmp_path / "1.csv", "\r\n,request_id,\r\n0,a,\r\n\r\n1,b,\r\n,,\r\n")
    two = write(tmp_path / "2.csv", "request_id\n\n7")
    found = rows(labels(one, two, needed=ID))
    assert found == [(0, b'{"request_id":"a"}'), (2, b'{"request_id":"b"}'), (5, b'{"request_id":"7"}')]
    assert rows(labels(two, needed=ID)) == [(1, b'{"request_id":"7"}')]


@pytest.mark.parametrize("text", ["", "\n", "request_id", "request_id\n"])
def test_a_file_may_have_no_rows(tmp_path: Path, text: str) -> None:
    """Then it has no records."""
    assert rows(labels(write(tmp_path / "a.csv", text), needed=ID)) == []


GOOD = "request_id,label,time\n" + "a,1,2\n" * 3
BELOW = r" \(the first below the header is 0\)"
WRONG: dict[str, tuple[bytes | str, str]] = {
    "missing": ("request_id,Label,time\n", r"no field 'label', there is request_id, Label, time; did you mean Label\?"),
    "no-header": ("r1,cat,5\n", r"no field 'request_id', there is r1, cat, 5"),
    "semicolons": (GOOD.replace(",", ";"), r"separated by ';', and only commas"),
    "twice": ("request_id,label,label\n", r"two columns are named 'label'"),
    "long": (GOOD + "a,1,2,3\n", rf"row 3{BELOW} has 4 fields, and the header 3"),
    "quote": (GOOD + 'a,"1,2\nb,1,2\n', rf"row 3{BELOW}: unexpected end of data"),
    "stray": (GOOD + '5" x,1,2\nb,1,2\n', rf"row 3{BELOW} or one after it has a stray quote"),
    "latin": (GOOD.encode() + b"\xe4,1,2\n", rf"row 3{BELOW} is not UTF-8.*iconv -f WINDOWS-1252 -t UTF-8"),
    "latin-header": (b"\xe4," + GOOD.encode(), r"its header is not UTF-8.*iconv"),
    "utf-16": (GOOD.encode("utf-16"), r"is UTF-16.*iconv -f UTF-16 -t UTF-8"),
    "utf-16-no-mark": (GOOD.encode("utf-16-le"), r"is UTF-16.*iconv -f UTF-16 -t UTF-8"),
}


@pytest.mark.parametrize(("text", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_read_is_told(tmp_path: Path, text: bytes | str, words: str) -> None:
    """With the row, and how to mend it."""
    with pytest.raises(ConfigError, match=rf"a\.csv: .*{words}"):
        rows(labels(write(tmp_path / "a.csv", text)))


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_a_file_that_is_cut_off_is_read_up_to_there(tmp_path: Path, share: float) -> None:
    """Also where that is before there are enough rows to judge the columns by."""
    assert csvs._INFERRED_ROWS > 7000
    packed_text = gzip.compress(text_of(RECORDS))
    found = []
    source = labels(write(tmp_path / "a.csv.gz", packed_text[: int(share * len(packed_text))]))
    told = ""
    try:
        for batch in source.batches():
            found += [batch]
    except DamagedFileError as error:
        told = str(error)
    count = sum(map(len, found))
    assert 70_000 * share * 0.7 < count < 70_000 * share * 1.3
    assert f"is cut off after {count:,} rows" in told
