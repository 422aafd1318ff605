"""From records of a time in which all was well to their contract.

What is learnt is what stayed the same: the fields and how often each was missing, types, the values of texts that are
few, the form of those that have one, and the bounds of numbers, with room beyond them. A rate is the highest one of any
thousand records in a row, so that what comes in bursts is usual.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from streamguard.core.contract.fields import ITEMS, ROOT
from streamguard.core.contract.forms import FORMS
from streamguard.core.contract.schema import DRAFT

_CHUNK = 1000
_VALUES_MAX = 50
# Of each value of an enumeration there must be so many records, on average, and the last one new in the first half.
_EACH_MIN = 20
_MEMBERS_MAX = 200
_FIELDS_MAX = 1000
_DEPTH_MAX = 15
_SAMPLE_MAX = 4096
_QUANTILES = 100
_ROOM = 0.5
_ITEMS_MAX = 100
# A number of a day or an offset grows without end: it is held to its order of magnitude.
_GROWING = 0.9
_GROWING_MIN = 20
# Whole numbers of 64 bits, signed or not.
_LEAST, _LARGEST = -(1 << 63), (1 << 64) - 1
_FLOAT_MAX = math.nextafter(math.inf, 0.0)


class LearningError(ValueError):
    """Why nothing can be learnt from these records."""


class Learner:
    """Takes parsed records, in order. Names of `open_fields` (dotted) may have any value: versions, for one."""

    def __init__(self, open_fields: Sequence[str] = ()) -> None:
        self._open = frozenset(open_fields)
        self._root = _Seen(ROOT)
        self._known = 1
        self.records = 0

    def take(self, documents: Sequence[dict[str, Any]]) -> None:
        """Look at more records."""
        for document in documents:
            self._look(self._root, document, 0)
            self.records += 1
            if self.records % _CHUNK == 0:
                self._root.close()

    def schema(self, title: str) -> dict[str, Any]:
        """The contract as a JSON Schema; raises `LearningError` where there were no records."""
        if not self.records:
            raise LearningError("there is no record to learn from")
        self._root.close()
        return {"$schema": DRAFT, "title": title, **self._described(self._root, self.records)}

    def _look(self, seen: "_Seen", value: Any, depth: int) -> None:
        seen.take(value)
        if type(value) is dict and not seen.is_map:
            self._members(seen, value, depth)
        elif type(value) is list and value and depth < _DEPTH_MAX:
            if seen.items is None:
                seen.items = _Seen(seen.name + ITEMS)
            for item in value[:_ITEMS_MAX]:
                self._look(seen.items, item, depth + 1)

    def _members(self, seen: "_Seen", value: dict[str, Any], depth: int) -> None:
        for name, member in value.items():
            known = seen.members.get(name)
            if known is None:
                if len(seen.members) >= _MEMBERS_MAX or self._known >= _FIELDS_MAX or depth >= _DEPTH_MAX:
                    # Names that go on and on are data, not fields.
                    self._known -= seen.forget()
                    return
                known = seen.members[name] = _Seen(f"{seen.name}.{name}" if seen.name else name)
                if seen.chunks:
                    known.rates["missing"] = 1.0  # of every record until now
                self._known += 1
            self._look(known, member, depth + 1)

    def _described(self, seen: "_Seen", parents: int) -> dict[str, Any]:
        """What a field is like, of an object that came so often."""
        kinds = sorted(seen.kinds)
        found: dict[str, Any] = {"type": kinds[0] if len(kinds) == 1 else kinds} if kinds else {}
        usual = {"null": seen.rates["null"]} if "null" in seen.kinds else {}
        if "string" in seen.kinds and seen.name not in self._open:
            texts = seen.texts.described()
            if "enum" in texts and seen.kinds <= {"string", "null"}:
                texts["enum"] += [None] if "null" in seen.kinds else []
            else:
                texts.pop("enum", None)
            found |= texts
        if seen.kinds & {"integer", "number"} and seen.name not in self._open:
            found |= seen.numbers.described(is_whole="number" not in seen.kinds)
        if "object" in seen.kinds and not seen.is_map:
            found["properties"] = {name: self._described(each, seen.objects) for name, each in seen.members.items()}
            required = [name for name, each in seen.members.items() if each.count == seen.objects]
            found |= {"required": required} if required else {}
            found["additionalProperties"] = False
        if seen.items is not None:
            found["items"] = self._described(seen.items, seen.items.count)
        if seen.name and not seen.name.endswith(ITEMS) and seen.count < parents:
            usual["missing"] = max(seen.rates["missing"], 1 - seen.count / parents)
        if usual:
            found["x-usual"] = {name: math.ceil(rate * 1e6) / 1e6 for name, rate in usual.items()}
        return found


@dataclass(slots=True)
class _Texts:
    """The values of a text, as long as they are few, and the forms that all have had."""

    count: int = 0
    values: set[str] | None = field(default_factory=set)
    last_new: int = 0
    forms: list[str] = field(default_factory=lambda: list(FORMS))

    def take(self, value: str) -> None:
        self.count += 1
        if self.values is not None and value not in self.values:
            self.values.add(value)
            self.last_new = self.count
            if len(self.values) > _VALUES_MAX:
                self.values = None
        if self.forms:
            self.forms = [form for form in self.forms if FORMS[form].search(value)]

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        values = self.values
        if values and self.count >= _EACH_MIN * len(values) and 2 * self.last_new <= self.count:
            found["enum"] = sorted(values)
        elif self.forms:
            found["format"] = self.forms[0]
        return found


@dataclass(slots=True)
class _Numbers:
    """The bounds of a number, a sample of it, and whether it grows."""

    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    sample: list[float] = field(default_factory=list)
    step: int = 1

    def take(self, value: float) -> None:
        self.low, self.high = min(self.low, value), max(self.high, value)
        if self.count % self.step == 0:
            self.sample.append(value)
            if len(self.sample) > _SAMPLE_MAX:
                self.sample = self.sample[::2]
                self.step *= 2
        self.count += 1

    @property
    def is_growing(self) -> bool:
        """Whether it is a time or a count that goes on and on."""
        rises = sum(one < other for one, other in pairwise(self.sample))
        return self.low > 0 and len(self.sample) >= _GROWING_MIN and rises >= _GROWING * (len(self.sample) - 1)

    def described(self, *, is_whole: bool) -> dict[str, Any]:
        is_growing = self.is_growing
        if is_growing:
            low, high = self.low / 2, self.high * 2
        else:
            room = _ROOM * (self.high - self.low or abs(self.high))
            low = self.low - room if self.low < 0 else max(0.0, self.low - room)
            high = self.high + room if self.high > 0 else min(0.0, self.high + room)
        # No more than JSON can hold.
        found: dict[str, Any] = {"minimum": max(low, -_FLOAT_MAX), "maximum": min(high, _FLOAT_MAX)}
        if is_whole:
            found = {"minimum": max(math.floor(low), _LEAST), "maximum": min(math.ceil(high), _LARGEST)}
        if not is_growing and self.low < self.high:
            ordered = sorted(self.sample)
            places = [round(number * (len(ordered) - 1) / _QUANTILES) for number in range(_QUANTILES + 1)]
            found["x-quantiles"] = [ordered[place] for place in places]
        return found


@dataclass(slots=True)
class _Seen:
    """What a field has been so far."""

    name: str
    count: int = 0
    kinds: set[str] = field(default_factory=set)
    objects: int = 0
    is_map: bool = False
    members: dict[str, "_Seen"] = field(default_factory=dict)
    items: "_Seen | None" = None
    rates: dict[str, float] = field(default_factory=lambda: {"null": 0.0, "missing": 0.0})
    nulls: int = 0
    chunks: int = 0
    texts: _Texts = field(default_factory=_Texts)
    numbers: _Numbers = field(default_factory=_Numbers)
    before: tuple[int, int, int] = (0, 0, 0)
    """Count, nulls and objects when the last thousand records began."""

    def take(self, value: Any) -> None:
        self.count += 1
        kind = type(value)
        if value is None:
            self.nulls += 1
            self.kinds.add("null")
        elif kind is bool:
            self.kinds.add("boolean")
        elif kind is int or kind is float:
            self.kinds.add("integer" if kind is int else "number")
            self.numbers.take(value)
        elif kind is str:
            self.kinds.add("string")
            self.texts.take(value)
        elif kind is dict:
            self.kinds.add("object")
            self.objects += 1
        else:
            self.kinds.add("array")
        if len(self.kinds) > 1 and "number" in self.kinds:
            self.kinds.discard("integer")

    def close(self) -> None:
        """A thousand records are over."""
        count, nulls, objects = self.before
        if self.count > count:
            self.rates["null"] = max(self.rates["null"], (self.nulls - nulls) / (self.count - count))
        for member in self.members.values():
            came = self.objects - objects
            if came:
                missed = came - (member.count - member.before[0])
                member.rates["missing"] = max(member.rates["missing"], min(1.0, max(0, missed) / came))
            member.close()
        if self.items is not None:
            self.items.close()
        self.before = self.count, self.nulls, self.objects
        self.chunks += 1

    def forget(self) -> int:
        """It is a map: its members are nothing to learn; returns how many fields these were."""
        forgotten = sum(1 + each.forget() for each in self.members.values())
        self.members.clear()
        self.is_map = True
        return forgotten
