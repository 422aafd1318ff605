"""What the outside sees of an embedded log."""

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from streamguard.core.records import Batch, TopicPartition
from streamguard.logs.embedded.file import LogFile
from streamguard.logs.embedded.reading import Limits, check_position, fetch
from streamguard.logs.embedded.session import EmbeddedSession, committed
from streamguard.logs.embedded.topics import Bounds, Topics, create
from streamguard.logs.embedded.writing import Writer
from streamguard.logs.interface import Committed, Record, Span, TopicInfo, Wanted

_IDLE_S = 1.0


class EmbeddedLog:
    """Topics in the SQLite file at `path`, made with its directory where there is none.

    Any number of processes of one machine may read and write; a group has one worker. The file must be on
    a local disk. Nothing committed is lost when a process is killed; what power loss does, `LogFile` says.
    A poll brings at most `poll_records_max` records and about `poll_bytes_max` bytes of all partitions
    together. Raises `LogError` where the file cannot be used.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as directory:
    ...     log = EmbeddedLog(Path(directory, "log.db"))
    ...     log.create(TopicInfo("labels", partitions=2))
    ...     log.append([Record("labels", b"req-1", b"1"), Record("labels", b"req-2", b"0")])
    ...     [(batch.source.partition, batch.values) for batch in log.read("labels")]
    [(1, (b'1', b'0'))]
    """

    def __init__(
        self,
        path: str | Path,
        *,
        poll_records_max: int = 20_000,
        poll_bytes_max: int = 32 * 1024 * 1024,
    ) -> None:
        self._path = Path(path)
        self._limits = Limits(poll_records_max, poll_bytes_max)
        self._file = LogFile(self._path)
        self._topics = Topics()
        self._writer = Writer(self._topics)

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        with self._file.reading() as connection:
            found = self._topics.find(connection, names)
        return {name: topic.info for name, topic in found.items()}

    def create(self, topic: TopicInfo) -> None:
        with self._file.writing() as connection:
            create(connection, topic)

    def session(
        self,
        group: str,
        topic_groups: Sequence[Sequence[str]],
        worker: str,
        *,
        whole: bool = False,  # noqa: ARG002 - the one worker has all in any case
    ) -> EmbeddedSession:
        """Join a group. Its former worker must have ended; until then the error says which process it is."""
        topics = [topic for topics in topic_groups for topic in topics]
        return EmbeddedSession(self._path, group, topics, worker, self._limits)

    def committed(self, group: str, partitions: Collection[TopicPartition]) -> dict[TopicPartition, Committed]:
        with self._file.reading() as connection:
            return committed(connection, self._topics, group, partitions)

    def spans(self, topic: str, from_ms: int | None = None, to_ms: int | None = None) -> dict[int, Span]:
        with self._file.reading() as connection:
            return self._topics.spans(connection, topic, from_ms, to_ms)

    def read(
        self,
        topic: str,
        partitions: Collection[int] | None = None,
        *,
        follow: bool = False,
        spans: Mapping[int, Span] | None = None,
        wanted: Wanted | None = None,
    ) -> Iterator[Batch]:
        with self._file.reading() as connection:
            left = self._topics.bounds(connection, [topic])
            if partitions is not None:
                left = self._topics.bounds_of(connection, [TopicPartition(topic, number) for number in partitions])
        if spans is not None:
            left = {TopicPartition(topic, number): Bounds(each.start, each.end) for number, each in spans.items()}
        return self._follow(left) if follow else self._scan(left, wanted)

    def append(self, records: Sequence[Record]) -> None:
        with self._file.writing() as connection:
            self._writer.write(connection, records, time.time_ns() // 1_000_000)

    def close(self) -> None:
        self._file.close()

    def _scan(self, left: dict[TopicPartition, Bounds], wanted: Wanted | None) -> Iterator[Batch]:
        # A connection of its own: who reads slowly then never holds up who writes.
        with LogFile(self._path) as file:
            while any(span.start < span.end for span in left.values()):
                numbers = None if wanted is None else set(wanted())
                yield from self._next(file, left, numbers)

    def _follow(self, left: dict[TopicPartition, Bounds]) -> Iterator[Batch]:
        with LogFile(self._path) as file:
            while True:
                version = file.version()
                with file.reading() as connection:
                    held = self._topics.bounds_of(connection, left)
                for source, span in left.items():
                    left[source] = Bounds(span.start, held[source].end)
                batches = self._next(file, left)
                yield from batches
                if not batches and not file.wait_changed(version, time.monotonic() + _IDLE_S):
                    source, span = next(iter(left.items()))
                    yield Batch(source, (), (), (), (), (), span.start)

    def _next(
        self, file: LogFile, left: dict[TopicPartition, Bounds], numbers: Collection[int] | None = None
    ) -> list[Batch]:
        """The next records, after which is left what follows them; of some partitions only, that ends are told of."""
        now = left if numbers is None else {each: span for each, span in left.items() if each.partition in numbers}
        with file.reading() as connection:
            held = self._topics.bounds_of(connection, now)
            for source, span in now.items():
                # What was read to its end may go.
                if span.start < span.end:
                    check_position(source, span.start, held[source], "raise the topic's retention, or begin later")
            batches = fetch(connection, self._topics, now, self._limits)
        for batch in batches:
            left[batch.source] = Bounds(batch.next_offset, left[batch.source].end)
        return [batch for batch in batches if len(batch) or numbers is not None]
