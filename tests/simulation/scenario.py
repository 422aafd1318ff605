"""What a seed stands for: the settings, the records, and what goes wrong."""

from dataclasses import dataclass, field
from functools import cache
from random import Random

import orjson

from streamguard.config import Config, parse
from streamguard.core.records import TopicPartition
from streamguard.logs.interface import Record
from tests.simulation.faults import Rates

START_MS = 1_767_571_200_000
BUSY_S = 20.0
"""So long records come, and things go wrong."""

_MONITORS = [
    {
        "name": "by country",
        "match": {"model": "fraud"},
        "split_by": ["country"],
        "max_segments": 2,
        "threshold": {"max_mismatch_percent": 40, "window": 4, "min_samples": 2, "cooldown": "500ms"},
    },
    {
        "name": "all",
        "threshold": {"max_mismatch_percent": 50, "window": "3s", "min_samples": 2, "cooldown": "100ms"},
        "detectors": [{"type": "page_hinkley", "min_instances": 2, "threshold": 0.4, "delta": 0.01}],
    },
]
_JUNK = [None, b"", b"{}", b"[1]", b'{"request_id": 7}', b"\xff"]


@cache
def config(
    before_ms: int, after_ms: int, disorder_ms: int, idle_after_ms: int | None, targets: int, max_waiting: int
) -> Config:
    """The deployment's settings."""
    idle_after = None if idle_after_ms is None else f"{idle_after_ms}ms"
    return parse(
        {
            "log": {"kind": "kafka", "group": "g"},
            "join": {
                "before": f"{before_ms}ms",
                "after": f"{after_ms}ms",
                "disorder": f"{disorder_ms}ms",
                "idle_after": idle_after,
                "max_waiting": max_waiting,
            },
            "monitors": _MONITORS,
            "outcomes": {"partitions": targets},
            "alerts": {"cooldown": "300ms"},
            "state": {"every": "2s"},
        }
    )


@dataclass(slots=True)
class Scenario:
    """Drawn from a seed alone."""

    seed: int
    config: Config = field(init=False)
    partitions: int = field(init=False)
    workers: int = field(init=False)
    is_static: bool = field(init=False)
    """Whether workers keep their names, and with them their places in the group."""
    session_timeout_s: float = field(init=False)
    transaction_timeout_s: float = field(init=False)
    rates: Rates = field(init=False)
    feed: list[tuple[float, TopicPartition, Record]] = field(init=False)
    """When each record is written, and where."""

    def __post_init__(self) -> None:
        chance = Random(self.seed)  # noqa: S311 - a schedule, not a secret
        self.partitions = chance.randint(1, 3)
        self.workers = chance.randint(1, 3)
        self.is_static = chance.random() < 0.5
        self.session_timeout_s = chance.choice([2.0, 4.0])
        self.transaction_timeout_s = chance.choice([1.0, 3.0, 6.0])
        rules = chance.choice([0, 0, 500, 3000]), chance.choice([500, 2000, 6000]), chance.choice([0, 50, 1000])
        idle_after_ms = chance.choice([None, None, 1000, 3000])
        # The narrow window of a busy partition fits under the cap; what is read ahead of it does not.
        is_tight = rules[0] + rules[1] <= 1000 and rules[2] <= 50
        targets = chance.randint(1, min(2, self.partitions))
        self.config = config(*rules, idle_after_ms, targets, 32 if is_tight else 1000)
        self.rates = _rates(chance)
        self.feed = [row for number in range(self.partitions) for row in _records(chance, number, rules)]
        self.feed.sort(key=lambda row: row[0])

    def describe(self) -> str:
        """The settings in a few lines."""
        join = self.config.join
        return (
            f"{self.workers} workers ({'static' if self.is_static else 'dynamic'}), {self.partitions} partitions,"
            f" {len(self.feed)} records, session {self.session_timeout_s:g} s,"
            f" transaction {self.transaction_timeout_s:g} s\n"
            f"join: before {join.before_ms}, after {join.after_ms}, disorder {join.disorder_ms}, idle after"
            f" {join.idle_after_ms} ms, at most {join.max_waiting}\n{self.rates}"
        )


def _rates(chance: Random) -> Rates:
    """Each kind of fault is there or not, and rare or frequent, so that none hides behind another."""

    def share(most: float) -> float:
        return chance.choice([0.0, most * chance.random() ** 2])

    return Rates(
        unsent=share(0.1),
        unanswered=share(0.1),
        delayed=share(0.1),
        gives_up=share(0.5),
        expired=share(0.05),
        stalled=share(0.02),
    )


def _records(chance: Random, number: int, rules: tuple[int, int, int]) -> list[tuple[float, TopicPartition, Record]]:
    """A partition pair's records: few IDs meet, some come twice, late, out of order, unreadable or never."""
    before_ms, after_ms, disorder_ms = rules
    events: list[tuple[int, str, str | None, str]] = []
    count = chance.choice([0, 5, 20, 20, 60])
    # A change for the worse, somewhere.
    worse_from = chance.randrange(count + 1)
    for index in range(count):
        at_ms = int(BUSY_S * 1000 * index / max(1, count)) + chance.randrange(300)
        name = f"{number}-{index}" if chance.random() < 0.9 else f"{number}-{index // 4}"
        kind = chance.random()
        events.append((at_ms, "predictions", None if kind < 0.04 else name, "x"))
        if kind > 0.95:
            events.append((at_ms + chance.randrange(after_ms), "predictions", name, "x"))
        if kind < 0.85:
            delay_ms = chance.randrange(-before_ms, after_ms + after_ms // 4)
            wrong = chance.random() < (0.8 if index >= worse_from else 0.1)
            events.append((max(0, at_ms + delay_ms), "labels", name, "y" if wrong else "x"))
    lags = {"predictions": chance.choice([0.0, 0.0, 3.0]), "labels": chance.choice([0.0, 0.0, 3.0])}
    rows = []
    for at_ms, topic, request_id, value in events:
        stray_ms = chance.choice([0, 0, 0, disorder_ms, 2 * disorder_ms + 100])
        written_s = (at_ms + stray_ms) / 1000 + lags[topic] * chance.random()
        body = _body(chance, topic, request_id, value)
        record = Record(topic, (request_id or "?").encode(), body, number, (), START_MS + at_ms)
        rows.append((written_s, TopicPartition(topic, number), record))
    return rows


def _body(chance: Random, topic: str, request_id: str | None, value: str) -> bytes | None:
    if request_id is None:
        return chance.choice(_JUNK)
    if topic == "labels":
        return orjson.dumps({"request_id": request_id, "label": value})
    country = chance.choice(["DE", "NO", "FR", None])
    model = chance.choice(["fraud", "fraud", "other"])
    return orjson.dumps({"request_id": request_id, "prediction": value, "model": model, "country": country})
