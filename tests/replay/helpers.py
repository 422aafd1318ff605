"""Sources that are lists, and small histories to replay."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from streamguard.config import Config, parse
from streamguard.core.records import Batch
from streamguard.replay.backtesting import Question, backtest, never
from streamguard.replay.engine import Look
from streamguard.replay.frames import as_source
from streamguard.replay.history import History, needed_fields, of_records
from streamguard.replay.result import Backtest
from streamguard.replay.sources import OnRead, ignored

START_MS = 1_767_571_200_000
"""2026-01-05T00:00:00Z."""
MINUTE_MS = 60_000

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Listed:
    """Batches that are there already; can be sent to another process."""

    listed: Sequence[Batch]
    topic: str = "predictions"
    partition: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.listed))

    def batches(self, on_read: OnRead = ignored) -> Iterator[Batch]:
        """One after the other."""
        read = 0
        for batch in self.listed:
            yield batch
            read += len(batch)
            on_read(read)


def settings(**sections: Any) -> Config:
    """A monitor with a threshold of 10% of 100, times in the field `at`; labels may come an hour late."""
    return parse(
        {
            "log": {"kind": "embedded", "path": "unused.db"},
            "predictions": {"fields": {"time": "at"}},
            "labels": {"fields": {"time": "at"}},
            "join": {"after": "1h", "disorder": "1m"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 10, "window": 100, "min_samples": 50}}],
            **sections,
        }
    )


def story(count: int = 2000, *, fault: int | None = 1500, gap_ms: int = MINUTE_MS) -> tuple[list[Record], list[Record]]:
    """Predictions and their labels, five minutes later; from number `fault` on every third is wrong."""
    predictions = [
        {"request_id": f"r{n}", "prediction": "no", "at": START_MS + gap_ms * n, "country": "DE" if n % 2 else "FR"}
        for n in range(count)
    ]
    labels = [
        {
            "request_id": f"r{n}",
            "label": "yes" if fault is not None and n >= fault and n % 3 == 0 else "no",
            "at": START_MS + gap_ms * n + 5 * MINUTE_MS,
        }
        for n in range(count)
    ]
    return predictions, labels


def history_of(config: Config, predictions: Any, labels: Any) -> History:
    """Rows in memory, of one partition."""
    needed = needed_fields(config)
    sources = [
        {0: as_source(rows, topic, fields)}
        for rows, topic, fields in zip((predictions, labels), ("predictions", "labels"), needed, strict=True)
    ]
    return of_records(config, sources[0], sources[1], "memory", ("predictions", "labels"))


def replayed(
    config: Config, predictions: Any, labels: Any, question: Question | None = None, look: Look = never
) -> Backtest:
    """Rows in memory, replayed."""
    return backtest(config, history_of(config, predictions, labels), question or Question(), look)
