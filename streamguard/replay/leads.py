"""What records that went wrong have in common: every field that has few values is compared."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from streamguard.config import Config
from streamguard.core.explaining import leading
from streamguard.core.fields import canonical
from streamguard.core.history import Mean

_VALUES_MAX = 50
_LEADS = 5
# By how much more of the rise than of the traffic a value must explain, and by how many deviations: many are compared.
_SALIENT = 0.1
_SURE = 3.0

Columns = dict[str, dict[str | None, tuple[list[float], list[float]]]]
"""By field and value: the number and the total loss before the onset, and since."""


@dataclass(frozen=True, slots=True)
class Lead:
    """A value of a field of the predictions that explains more of the rise than it has of the traffic."""

    field: str
    value: str | None
    before: float | None
    after: float
    share: float
    """Of the rise."""
    traffic_before: float
    traffic: float
    """Its shares of the outcomes before the onset, and since."""


def leads(config: Config, records: Iterable[tuple[bytes, bool, float]]) -> list[Lead]:
    """The largest first. `records`: each prediction as JSON, whether it is since the onset, and its loss."""
    fields = config.predictions.fields
    own = {fields.request_id.path, fields.value.path, *(each.path for each in (fields.time, fields.score) if each)}
    columns: Columns = {}
    counts, wrong = [0, 0], 0.0
    for record, is_after, loss in records:
        counts[is_after] += 1
        wrong += loss if is_after else 0.0
        for name, value in _flat(record):
            values = columns.setdefault(name, {})
            if name not in own and len(values) <= _VALUES_MAX:
                sums = values.setdefault(value, ([0, 0.0], [0, 0.0]))[is_after]
                sums[0] += 1
                sums[1] += loss
    found = [
        each
        for name, values in columns.items()
        if 1 < len(values) <= _VALUES_MAX
        for each in _of_field(name, values, max(1, counts[0]), max(1, counts[1]), wrong)
    ]
    return sorted(found, key=lambda each: (-each.share, each.traffic))[:_LEADS]


def _of_field(
    name: str,
    values: Mapping[str | None, tuple[list[float], list[float]]],
    before_count: int,
    after_count: int,
    wrong: float,
) -> Iterator[Lead]:
    levels = [({name: value}, Mean(int(b[0]), b[1]), Mean(int(a[0]), a[1])) for value, (b, a) in values.items()]
    for each in leading(levels):
        value = each["segment"][name]
        before, after = values[value]
        traffic_before, traffic = before[0] / before_count, after[0] / after_count
        # By how many deviations more losses are of this value than its traffic would bring.
        spread = math.sqrt(max(1e-9, wrong * traffic * (1 - traffic)))
        if each["share"] - traffic >= _SALIENT and (after[1] - wrong * traffic) / spread >= _SURE:
            shares = each["share"], round(traffic_before, 3), round(traffic, 3)
            yield Lead(name, value, each["before"], each["after"], *shares)


def _flat(value: bytes) -> Iterator[tuple[str, str | None]]:
    """The record's scalars by their dotted paths."""
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return
    if isinstance(found, dict):
        yield from _scalars(found, "")


def _scalars(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, str | None]]:
    for name, value in node.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}.")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", canonical(value)
