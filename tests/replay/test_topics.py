"""Ranges of topics as sources: partitions that share a client, and what a topic holds."""

from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from streamguard.config import EmbeddedLog as Settings
from streamguard.core.records import Batch
from streamguard.errors import ConfigError
from streamguard.logs.embedded import EmbeddedLog
from streamguard.logs.embedded.file import LogFile
from streamguard.logs.interface import Log, Record, Span, TopicInfo
from streamguard.replay import reading
from streamguard.replay.sources import Source
from streamguard.replay.topics import Range, TopicSource, spans_of, together
from tests.replay.helpers import START_MS, Listed

PARTITIONS = 3
COUNT = 3000
BYTES = 100


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    """A log with a topic whose records are told apart."""
    with closing(EmbeddedLog(tmp_path / "log.db")) as log:
        log.create(TopicInfo("t", PARTITIONS))
        for number in range(PARTITIONS):
            records = [
                Record("t", None, b"%*d" % (BYTES, each), number, timestamp_ms=START_MS + each) for each in range(COUNT)
            ]
            log.append(records)
        yield log


class Opened:
    """Logs that are read, and how."""

    def __init__(self) -> None:
        self.count = self.closed = 0

    def open(self, settings: Any) -> Log:
        """As `open_log`."""
        self.count += 1
        log = EmbeddedLog(settings.path, poll_records_max=300)
        close = log.close

        def closing() -> None:
            self.closed += 1
            close()

        log.close = closing  # type: ignore[method-assign]
        return log


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """What the readers open."""
    opened = Opened()
    monkeypatch.setattr(reading, "open_log", opened.open)
    return opened


def sources(path: Path) -> list[Source]:
    """All partitions of the topic, but for the first records of one."""
    settings = Settings(kind="embedded", path=str(path / "log.db"))
    spans = [Span(0, COUNT, 0), Span(1000, COUNT, 0), Span(COUNT, COUNT, 0)]
    return [TopicSource(settings, "t", number, span) for number, span in enumerate(spans)]


@pytest.mark.parametrize("ahead", [1, 20_000, 1 << 30])
@pytest.mark.usefixtures("log")
def test_partitions_share_a_client(logs: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: int) -> None:
    """However little may be held: each is read on demand, to its end, and the client is closed with the last."""
    monkeypatch.setattr(reading, "_AHEAD_BYTES", ahead)
    one, two, three = (source.batches() for source in together(sources(tmp_path)))
    found: dict[int, list[int]] = {0: [], 1: []}
    for turns in (1, 5, 2, 1000):
        for number, batches in enumerate((one, two)):
            for batch in islice(batches, turns):
                found[number] += batch.offsets
    assert list(three) == []
    assert found == {0: list(range(COUNT)), 1: list(range(1000, COUNT))}
    assert (logs.count, logs.closed) == (1, 1)


@pytest.mark.usefixtures("log")
def test_what_is_held_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One partition is read to its end, and of the others no more comes than their share, and a batch."""
    monkeypatch.setattr(reading, "_AHEAD_BYTES", 2 * 40_000)
    monkeypatch.setattr(reading, "open_log", Opened().open)
    spans = {number: Span(0, COUNT, 0) for number in range(2)}
    reader = reading.TopicReader(Settings(kind="embedded", path=str(tmp_path / "log.db")), "t", spans)
    while reader.next(0) is not None:
        held = sum(len(value or b"") for batch in reader._held[1] for value in batch.values)
        assert held <= 40_000 + 300 * BYTES
    assert held >= 40_000
    rest: list[Batch] = []
    while (batch := reader.next(1)) is not None:
        rest.append(batch)
    assert [offset for each in rest for offset in each.offsets] == list(range(COUNT))


@pytest.mark.usefixtures("log")
def test_who_wants_no_more_holds_nobody_up(logs: Opened, tmp_path: Path) -> None:
    """A source that is left in the midst, and one that is no topic."""
    listed = Listed([])
    one, two, other = together([*sources(tmp_path)[:2], listed])
    assert other is listed
    left, batches = one.batches(), two.batches()
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert sum(map(len, batches)) == COUNT - 1000
    assert logs.closed == 1


def test_a_part_of_a_source_stays_within_it(tmp_path: Path) -> None:
    """Whatever is asked for."""
    _, source, _ = sources(tmp_path)
    assert isinstance(source, TopicSource)
    assert source.within(0, 2000).span == Span(1000, 2000, 0)
    assert source.within(1500, 1 << 60).span == Span(1500, COUNT, 0)
    assert source.within(0, 10).span == Span(1000, 1000, 0)
    assert source.within(COUNT + 5, COUNT + 10).span == Span(COUNT, COUNT, 0)


@pytest.mark.parametrize("gap", [0, 500, 2000])
def test_what_a_topic_holds_is_told(log: EmbeddedLog, tmp_path: Path, gap: int) -> None:
    """However many offsets without a record are at its start and its end, as after compaction."""
    with LogFile(tmp_path / "log.db") as file, file.writing() as connection:
        connection.execute('DELETE FROM records WHERE "offset" < ? OR "offset" >= ?', (gap, COUNT - gap))
    first, last = f"2026-01-05T00:00:00.{gap:03}Z", f"2026-01-05T00:00:0{(COUNT - gap - 1) / 1000:.3f}Z"
    words = "it is empty" if 2 * gap > COUNT else f"its first record is of {first}, its last of {last}"
    with pytest.raises(ConfigError, match=f"topic 't' has no record from 2027-.*: {words}"):
        spans_of(log, "t", Range(START_MS + 31_536_000_000, None), [])
