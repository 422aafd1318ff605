"""How history is replayed: what to compare, and what files have instead of Kafka timestamps."""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Any

import orjson
from pydantic import Field as Setting

from streamguard.config.base import Problem, Section
from streamguard.config.types import Field, Text

SETTINGS_MAX = 200
_UNWRITTEN = "must be JSON, with whole numbers of 64 bits at most: reports hold it"
BASE = "as configured"
"""The name of the setting that is the configuration itself."""


class Mode(StrEnum):
    """What is replayed: the inputs, or what live workers have made of them."""

    IDEAL = "ideal"
    FAITHFUL = "faithful"


class Alternative(Section):
    """One more setting to compare."""

    name: Text
    """What the report calls it."""
    changes: dict[Text, Any] = Setting(min_length=1)
    """What differs from this configuration: the dotted path of each setting, such as
    `monitors.fraud.threshold.max_mismatch_percent` (a monitor by its name) or `budget.false_alarms_per_month`, and its
    value."""


class Backtest(Section):
    """What `streamguard backtest` compares, in one pass over the data, and how it reads files."""

    sweep: dict[Text, tuple[Any, ...]] = Setting(default_factory=dict)
    """Values to try, by the dotted path of their setting, such as `monitors.fraud.threshold.max_mismatch_percent:
    [3, 5, 8]`: every combination is compared. Default: none."""
    alternatives: tuple[Alternative, ...] = ()
    """More settings to compare, each with what differs."""
    predictions_time: Field | None = None
    """In files of predictions, which have no Kafka timestamp: the field that says when a prediction was made. Null:
    `predictions.fields.time`."""
    labels_time: Field | None = None
    """In files of labels, which have no Kafka timestamp: the field that says when the truth became known. Null:
    `labels.fields.time`."""

    def problems(self) -> Iterable[Problem]:
        yield from self._unwritten()
        for path, values in self.sweep.items():
            if not values:
                yield ("sweep", path), "needs at least one value"
        names = Counter([BASE, *(each.name for each in self.alternatives)])
        for index, each in enumerate(self.alternatives):
            if names[each.name] > 1:
                words = f"must be unique, but {names[each.name]} settings are named {each.name!r}"
                yield ("alternatives", index, "name"), words
        count = len(self.alternatives)
        combinations = 1
        for values in self.sweep.values():
            combinations *= max(1, len(values))
        count += combinations if self.sweep else 0
        if count > SETTINGS_MAX:
            yield ("sweep",), f"must not make more than {SETTINGS_MAX} settings, but makes {count:,}"

    def _unwritten(self) -> Iterable[Problem]:
        for path, values in self.sweep.items():
            if not all(map(_is_written, values)):
                yield ("sweep", path), _UNWRITTEN
        for index, each in enumerate(self.alternatives):
            for path, value in each.changes.items():
                if not _is_written(value):
                    yield ("alternatives", index, "changes", path), _UNWRITTEN


def _is_written(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True
