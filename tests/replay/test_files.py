"""Files as a log: which are found, in which order, packed, damaged, and what is told of the progress."""

import gzip
import os
import pickle
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from streamguard.core.codec import Mapping
from streamguard.core.fields import TIME_MAX_MS
from streamguard.errors import ConfigError
from streamguard.replay.files import ENDINGS, FileSource, find_files
from streamguard.replay.sources import DamagedFileError
from tests.replay.reading import NEEDED, columns, json_lines, labels, listed, record, rows

RECORDS = [record(number, score=number / 70_000) for number in range(70_000)]
TEXT = json_lines(RECORDS)
PACK: dict[str, Callable[[bytes], bytes]] = {"gz": gzip.compress, "zst": zstandard.ZstdCompressor().compress}


def unpacked(packed: bytes, ending: str) -> bytes:
    """What a packed text begins with, as far as there is any of it."""
    if ending == "gz":
        return zlib.decompressobj(31).decompress(packed)
    return zstandard.ZstdDecompressor().decompressobj().decompress(packed)


def write(path: Path, data: bytes = b"") -> Path:
    """A file, in directories that need not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("ending", ["jsonl", "ndjson", "json", "JSONL", "jsonl.gz", "json.zst", "jsonl.zst"])
def test_packed_files_are_read_as_others(tmp_path: Path, ending: str) -> None:
    """Offsets are the numbers of the lines, in batches that grow neither with the file nor with the chunks."""
    pack = PACK.get(ending.rpartition(".")[2], bytes)
    source = labels(write(tmp_path / f"a.{ending}", pack(TEXT)))
    read: list[int] = []
    batches = list(source.batches(read.append))
    assert max(map(len, batches)) <= 32_768
    assert listed(columns(source))["offsets"] == list(range(70_000))
    assert rows(source) == list(enumerate(TEXT.splitlines()))
    assert read == sorted(read)
    assert read[-1] == source.size == (tmp_path / f"a.{ending}").stat().st_size


@pytest.mark.parametrize("ending", PACK)
def test_a_packed_file_may_be_of_several_parts(tmp_path: Path, ending: str) -> None:
    """Written one after the other, as `cat` does; zeros may follow."""
    data = PACK[ending](TEXT[:1000]) + PACK[ending](b"") + PACK[ending](TEXT[1000:]) + bytes(600)
    source = labels(write(tmp_path / f"a.jsonl.{ending}", data))
    assert rows(source) == list(enumerate(TEXT.splitlines()))


def until_damage(source: FileSource) -> tuple[list[bytes | None], str]:
    """The values that come before a file is damaged, and what is told then."""
    values: list[bytes | None] = []
    try:
        for batch in source.batches():
            values += batch.values
    except DamagedFileError as error:
        return values, str(error)
    pytest.fail("no damage was told")


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999999])
def test_a_file_that_is_cut_off_is_read_up_to_there(tmp_path: Path, ending: str, share: float) -> None:
    """All its whole rows come, then an error that says how many they were."""
    packed = PACK[ending](TEXT)
    packed = packed[: min(len(packed) - 1, 30 + int(share * len(packed)))]
    whole = unpacked(packed, ending).count(b"\n")
    values, told = until_damage(labels(write(tmp_path / f"a.jsonl.{ending}", packed)))
    assert values == TEXT.splitlines()[:whole]
    assert f"a.jsonl.{ending}: is cut off after {whole:,} rows, which were read" in told


def begun(text: bytes, ending: str) -> bytes:
    """A packed text that could go on, but is there to its last byte."""
    if ending == "gz":
        gzipped = zlib.compressobj(wbits=31)
        return gzipped.compress(text) + gzipped.flush(zlib.Z_FULL_FLUSH)
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(text) + compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("count", [0, 50, 70_000])
def test_a_file_that_is_damaged_is_read_up_to_there(tmp_path: Path, ending: str, count: int) -> None:
    """To the very row before the damage, though that is found in the same call that unpacks good rows."""
    before = TEXT.splitlines(keepends=True)[:count]
    packed = begun(b"".join(before), ending) + b"\xff" * 100_000
    values, told = until_damage(labels(write(tmp_path / f"a.jsonl.{ending}", packed)))
    assert values == [row.strip() for row in before]
    assert re.search(rf"is damaged \(.+\) after {count:,} rows, which were read", told)


def test_files_are_one_log(tmp_path: Path) -> None:
    """Offsets go on over all files, whatever is in them, empty lines included; so does what was read."""
    one = write(tmp_path / "1.jsonl", json_lines([record(0), record(1)]) + b"\n")
    two = write(tmp_path / "2.jsonl")
    three = write(tmp_path / "3.jsonl.gz", gzip.compress(b"\n" + json_lines([record(2)])))
    source = labels(one, two, three)
    read: list[int] = []
    assert [batch.next_offset for batch in source.batches(read.append)] == [5]
    assert [offset for offset, _ in rows(source)] == [0, 1, 4]
    assert sorted(set(read)) == [one.stat().st_size, source.size]
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 - our own


def test_small_files_share_a_batch(tmp_path: Path) -> None:
    """A batch costs the same however few rows it has; none grows beyond what large files are read by."""
    names = [write(tmp_path / f"{number}.jsonl", json_lines([record(number)] * 10)) for number in range(200)]
    wide = [write(tmp_path / f"w{number}.jsonl", json_lines([record(number, x="x" * 3_000_000)])) for number in (0, 1)]
    many = write(tmp_path / "z.jsonl", TEXT)
    source = labels(*names, *wide, many)
    batches = list(source.batches())
    assert [len(batch) for batch in batches][:3] == [2001, 1, 32_768]
    assert max(map(len, batches)) <= 32_768
    assert [offset for offset, _ in rows(source)] == list(range(72_002))


@pytest.mark.parametrize("name", ["b.jsonl.gz", "b.parquet"])
def test_files_after_a_damaged_one_are_read(tmp_path: Path, name: str) -> None:
    """All that is there comes; then what is damaged is told, each file with the row that it can be read to."""
    before, cut, after = (json_lines([record(number + 10 * file) for number in range(4)]) for file in range(3))
    packed = begun(cut, "gz") if name.endswith("gz") else b"PAR1PAR1"
    names = ["a.jsonl", name, "c.jsonl", "d.json.gz", "e.jsonl"]
    texts = [before, packed, after, b"\x1f\x8b", before]
    source = labels(*(write(tmp_path / each, text) for each, text in zip(names, texts, strict=True)))
    values, told = until_damage(source)
    whole = cut if name.endswith("gz") else b""
    assert values == (before + whole + after + before).splitlines()
    assert re.search(
        rf"{name}: .* after {len(whole.splitlines())} rows, .*; .*d\.json\.gz: is cut off after 0 rows", told
    )
    assert told.endswith("Copy them again, or leave them out")


def test_of_many_damaged_files_a_few_are_named(tmp_path: Path) -> None:
    """And how many more there are."""
    source = labels(*(write(tmp_path / f"{number}.jsonl.gz", b"\x1f\x8b") for number in range(1007)))
    assert re.search(r"4\.jsonl\.gz: [^;]*; and 1,002 more\. Copy", until_damage(source)[1])


NOT_UTF_8 = os.fsdecode(b"caf\xe9")


@pytest.mark.parametrize("ending", ["jsonl.gz", "parquet"])
def test_a_name_need_not_be_utf_8(tmp_path: Path, ending: str) -> None:
    """What is said of such a file can be written into a report."""
    source = labels(write(tmp_path / f"{NOT_UTF_8}.{ending}", b"\x1f\x8b"))
    with pytest.raises(ConfigError, match=r"caf\\xe9\.") as told:
        rows(source)
    assert str(told.value).encode()


def test_no_event_time_is_too_far_ahead(tmp_path: Path) -> None:
    """Whatever the limit, since files have no Kafka timestamp to be ahead of."""
    source = labels(write(tmp_path / "a.jsonl", json_lines([record(0, time=TIME_MAX_MS)] * 100)))
    assert columns(source, Mapping(*NEEDED[:2], time=("time",), max_ahead_ms=0)).times.tolist() == [TIME_MAX_MS] * 100


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    """And not a traceback."""
    source = labels(tmp_path / "gone.jsonl")
    with pytest.raises(ConfigError, match=r"gone\.jsonl: cannot be read: No such file"):
        rows(source)
    with pytest.raises(ConfigError, match=r"gone\.jsonl: cannot be read: No such file"):
        _ = source.size


def found(given: list[Any], root: Path) -> dict[int, list[str]]:
    """The names of the files that are found, below a directory."""
    files = find_files(given, "--labels")
    return {number: [str(path.relative_to(root)) for path in paths] for number, paths in files.items()}


def test_directories_patterns_and_names(tmp_path: Path) -> None:
    """All that are named are found, each once, sorted by name; numbers in names by their value."""
    for name in ("part-10.jsonl", "part-2.jsonl", "x/part-1.csv", "x/y.Parquet", "notes.txt", "_SUCCESS", ".a.jsonl"):
        write(tmp_path / name)
    write(tmp_path / "_temporary/part-3.jsonl")
    both = ["part-2.jsonl", "part-10.jsonl"]
    assert found([tmp_path], tmp_path) == {0: [*both, "x/part-1.csv", "x/y.Parquet"]}
    assert found([str(tmp_path / "*.jsonl")], tmp_path) == {0: both}
    assert found([tmp_path / "**" / "*.[cj]s*"], tmp_path) == {0: [*both, "x/part-1.csv"]}
    assert found([tmp_path / "part-?.jsonl", tmp_path / "x", tmp_path / "part-2.jsonl"], tmp_path) == {
        0: ["part-2.jsonl", "x/part-1.csv", "x/y.Parquet"]
    }
    assert found([tmp_path / ".a.jsonl", tmp_path / "_temp*" / "*"], tmp_path) == {
        0: [".a.jsonl", "_temporary/part-3.jsonl"]
    }
    assert found([tmp_path / "?"], tmp_path) == {0: ["x/part-1.csv", "x/y.Parquet"]}


def test_a_name_may_look_like_a_pattern(tmp_path: Path) -> None:
    """A file of just that name comes first."""
    write(tmp_path / "a[1].jsonl")
    write(tmp_path / "a1.jsonl")
    assert found([tmp_path / "a[1].jsonl"], tmp_path) == {0: ["a[1].jsonl"]}


def test_partitions(tmp_path: Path) -> None:
    """By the innermost directory of such a name, or the file's own; the numbers are in order."""
    for name in ("partition=10/a.jsonl", "partition=2/b/a.jsonl", "partition=2/a.jsonl", "partition=0.jsonl.gz"):
        write(tmp_path / name)
    write(tmp_path / "partition=9" / "partition=1" / "a.jsonl")
    assert list(find_files([tmp_path], "--labels")) == [0, 1, 2, 10]
    assert found([tmp_path], tmp_path) == {
        0: ["partition=0.jsonl.gz"],
        1: ["partition=9/partition=1/a.jsonl"],
        2: ["partition=2/a.jsonl", "partition=2/b/a.jsonl"],
        10: ["partition=10/a.jsonl"],
    }


WRONG = {
    "nothing": ([], r"names no files"),
    "gone": (["gone"], r"gone does not exist"),
    "no-match": (["*.csv"], r"no file matches .*\*\.csv"),
    "empty": (["empty"], rf"empty has no file that can be read, .* {ENDINGS[0]}"),
    "ending": (["a.txt"], rf"a\.txt cannot be read: its name must end in {ENDINGS[0]}, .*\.parquet"),
    "ending-of-a-match": (["a.*"], r"a\.txt cannot be read"),
    "mixed": (["a.jsonl", "partition=1"], r"partition=1/a\.jsonl is of a partition .*/a\.jsonl is of none"),
}


@pytest.mark.parametrize(("names", "words"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_found_is_told(tmp_path: Path, names: list[str], words: str) -> None:
    """With the option, the name, and what would be taken."""
    for name in ("a.txt", "a.jsonl", "empty/a.txt", "empty/_a.jsonl", "partition=1/a.jsonl"):
        write(tmp_path / name)
    with pytest.raises(ConfigError, match=rf"^--labels: .*{words}"):
        find_files([tmp_path / name for name in names], "--labels")


def run(code: str, *arguments: object) -> str:
    """What a Python of its own prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_nothing_is_imported_that_is_not_needed() -> None:
    """Those who read JSON Lines need no package for tables, nor wait for its import."""
    packages = {"polars", "pandas", "pyarrow", "zstandard"}
    code = f"import sys, streamguard.replay.files, streamguard.replay.frames; print({packages} & set(sys.modules))"
    assert run(code) == "set()\n"


@pytest.mark.parametrize(
    ("package", "name", "extra"),
    [("polars", "a.parquet", "tables"), ("polars", "a.csv.gz", "tables"), ("zstandard", "a.jsonl.zst", "compression")],
)
def test_a_package_that_is_missing_is_told(tmp_path: Path, package: str, name: str, extra: str) -> None:
    """With the command that installs it."""
    code = f"""
import sys
from pathlib import Path
sys.modules["{package}"] = None
from streamguard.errors import ConfigError
from streamguard.replay.files import FileSource
try:
    list(FileSource("labels", 0, (Path(sys.argv[1]),), ()).batches())
except ConfigError as error:
    print(error)
"""
    told = run(code, write(tmp_path / name))
    assert f"needs the package {package}, which is not installed: pip install 'streamguard[{extra}]'" in told
