"""Inputs of which not all is as it should be: logs whose records differ from a contract, or cannot be read at all."""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hypothesis import strategies as st

from streamguard.core.arrivals.changes import ContractSettings
from streamguard.core.arrivals.folding import Arriving
from streamguard.core.arrivals.volume import VolumeSettings
from streamguard.core.arrivals.watching import ArrivalSettings
from streamguard.core.contract.inspecting import Inspector
from streamguard.core.contract.schema import contract_of
from streamguard.core.features.gathering import Shape
from streamguard.core.join import Input
from streamguard.core.records import Batch, TopicPartition
from streamguard.worker.topology import Topology
from tests.core.helpers import as_json, topology
from tests.laws.joining import MONITORS, TOPICS, Logs, matching_logs
from tests.laws.reference import Advance, Rules
from tests.laws.watching import SOURCES, Joins

SCALES = (1, 60_000, 3_600_000)
"""A step of time of the logs, in milliseconds: volumes are told by slots of five minutes, over days."""
_LONGEST_MS = 3_000_000_000_000
"""No setting may be longer than a hundred years."""
CONTRACT = contract_of(
    {
        "type": "object",
        "properties": {
            "request_id": {"type": "string", "pattern": "^[0-9-]+$"},
            "prediction": {"enum": ["x", "z"]},
            "label": {"enum": ["x", "y"]},
            "at": {"type": "integer", "minimum": 1},
            "version": {"type": "string"},
            "amount": {"type": "number", "minimum": 0, "maximum": 10, "x-quantiles": list(range(11))},
            "device": {"type": ["string", "null"], "x-usual": {"null": 0.05, "missing": 0.1}},
            "items": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
        },
        "required": ["request_id", "at", "amount"],
        "additionalProperties": False,
    }
)
_CLEAN: dict[str, Any] = {"amount": 3, "device": "web", "version": "7"}
CARRIED: list[dict[str, Any] | bytes | None] = [
    _CLEAN,
    {**_CLEAN, "amount": 7.5, "items": [{"sku": "a"}, {"sku": 1}]},
    {**_CLEAN, "amount": 5000, "version": "8"},
    {**_CLEAN, "amount": 3000 / 7, "version": "8"},
    {"amt": 3, "device": "web", "version": "8"},
    {**_CLEAN, "amount": "3"},
    {"amount": 3, "device": None},
    {**_CLEAN, "new": {"a": 1}},
    {**_CLEAN, "device": 7},
    {**_CLEAN, "at": "soon"},
    {**_CLEAN, "request_id": None},
    b"\xff",
    None,
]
_PATTERNS = [(0,), (0, 2, 3), (0, 4), (0, 0, 6), (5, 0), (9, 0), (11, 12, 0), (0, 8, 7), (1, 0), tuple(range(13))]


@cache
def settings_of(rules: Rules, sources: int, targets: int, scale: int) -> Topology:
    """Both inputs are held against the contract, and counted; the budget is large, so that few records are enough."""
    ms = {"before": rules.before_ms, "after": rules.after_ms, "disorder": rules.disorder_ms}
    found = topology(
        *MONITORS,
        sources=sources,
        targets=targets,
        join={name: f"{min(each * scale, _LONGEST_MS)}ms" for name, each in ms.items()},
        alerts={"cooldown": f"{60 * scale}ms"},
        predictions={"fields": {"time": "at", "version": "version"}},
        labels={"fields": {"time": "at"}},
    )
    counted, told = {}, {}
    for side in Input:
        name, target = f"input:{TOPICS[side]}", int(side) % targets
        version = ("version",) if side is Input.PREDICTIONS else None
        inspector = Inspector(CONTRACT, ("request_id",), version, refused=("device",))
        window_ms = 20 if scale == 1 else 60_000
        counted[int(side)] = Arriving(name, window_ms, CONTRACT.fingerprint, target, inspector)
        shape = Shape(CONTRACT.fingerprint, CONTRACT.size, window_ms, 1)
        told[int(side)] = ArrivalSettings(name, shape, target, _contract(name, side, scale), _volume(name, side, scale))
    return replace(found, join=replace(found.join, arrivals=counted), monitor=replace(found.monitor, arrivals=told))


def _contract(name: str, side: Input, scale: int) -> ContractSettings:
    return ContractSettings(
        name=name,
        things=TOPICS[side],
        topic=TOPICS[side],
        contract=CONTRACT,
        severity="critical",
        tolerance=0.001,
        cooldown_ms=60 * scale,
        accept_after_ms=40 * scale,
        share=1e9,
        budget=1e9,
    )


def _volume(name: str, side: Input, scale: int) -> VolumeSettings:
    return VolumeSettings(
        name=name,
        things=TOPICS[side],
        topic=TOPICS[side],
        severity="critical",
        baseline_ms=86_400_000,
        is_seasonal=False,
        falls_to=0.5,
        silent_after_ms=8 * scale if side is Input.LABELS else None,
        accept_after_ms=None if side is Input.LABELS else 86_400_000,
    )


@dataclass(frozen=True, slots=True)
class Arrived(Logs):
    """Logs of records that carry something, in turn: each `run` times in a row. The times are scaled."""

    carried: tuple[int, ...] = (0,)
    run: int = 1
    begins_with: int = 0
    """So many records at the beginning have no event time."""
    lag_ms: int = 0
    """What Kafka timestamps are ahead by, at most."""
    scale: int = 1

    def settings(self, sources: int = 1, targets: int = 1) -> Topology:
        """Of these rules."""
        return settings_of(self.rules, sources, targets, self.scale)

    def batch(self, side: Input, start: int, end: int, partition: int = 0) -> Batch:
        """Records number `start` to `end` of one side."""
        part = self.entries[side][start:end]
        return Batch(
            TopicPartition(TOPICS[side], partition),
            [each.offset for each in part],
            [each.time_ms + each.offset % 3 * self.lag_ms for each in part],
            [None] * len(part),
            [self.value(side, number) for number in range(start, start + len(part))],
            [()] * len(part),
            self.offset(side, end),
        )

    def value(self, side: Input, number: int) -> bytes | None:
        """A record's value."""
        entry = self.entries[side][number]
        if number < self.begins_with:
            return [None, b"{", as_json(request_id="1", at="soon")][number % 3]
        carried = CARRIED[self.carried[number // self.run % len(self.carried)]]
        if not isinstance(carried, dict):
            return carried
        own = {"request_id": entry.id, ["prediction", "label"][side]: entry.value, "at": entry.time_ms}
        return as_json(**{**own, **carried})


def arrived(data: st.SearchStrategy[Logs]) -> st.SearchStrategy[Arrived]:
    """These logs, with records that carry something."""

    def scaled(logs: Logs, scale: int, **rest: Any) -> Arrived:
        entries = tuple(tuple(e._replace(time_ms=e.time_ms * scale) for e in side) for side in logs.entries)
        last_ms = max((each.time_ms for side in entries for each in side), default=0)
        advances = tuple(
            tuple(Advance(a.offset, min(a.time_ms * scale, last_ms + 10**9)) for a in side) for side in logs.advances
        )
        return Arrived(entries, advances, logs.rules, scale=scale, **rest)  # type: ignore[arg-type]

    return st.builds(
        scaled,
        data,
        scale=st.shared(st.sampled_from(SCALES), key="scale"),
        carried=st.sampled_from(_PATTERNS),
        run=st.sampled_from([1, 1, 3, 8]),
        begins_with=st.sampled_from([0, 0, 2, 10]),
        lag_ms=st.sampled_from([0, 1, 30]),
    )


def _joins(rules: Rules) -> st.SearchStrategy[Joins]:
    return st.builds(Joins, st.tuples(*[arrived(matching_logs(rules))] * SOURCES), st.integers(1, 2))


def joins(rules: st.SearchStrategy[Rules]) -> st.SearchStrategy[Joins]:
    """The logs of all input partitions."""
    return rules.flatmap(_joins)
