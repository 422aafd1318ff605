"""The form of an endpoint's answers: which fields went, came, or are of another type, and for how long.

Theory of operation. The first answers are taken together: of each place the types that it may have, and whether it
may be missing. Later answers fit that or do not. What so many of them, one after the other, all lack or all have is
a change. New fields harm nobody who reads the old ones, and are learnt; a field that is gone or of another type
begins an episode, until answers fit again or the new form has lasted so long that it is taken for the usual one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from streamguard.config.probes import ProbeChecks
from streamguard.core.environment.shapes import OPTIONAL, ROOT, parent

_LEARNT = 10
_PLACES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Difference:
    """Between an answer and what is usual. `retyped` and `came` have the types of the answer."""

    gone: frozenset[str]
    came: Mapping[str, str]
    retyped: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.gone or self.came or self.retyped)

    @property
    def is_breaking(self) -> bool:
        """Whether who reads the fields that were there is harmed."""
        return bool(self.gone or self.retyped)

    def common(self, other: "Difference") -> "Difference":
        """What both have."""
        return Difference(
            self.gone & other.gone,
            {path: types for path, types in self.came.items() if path in other.came},
            {path: types for path, types in self.retyped.items() if path in other.retyped},
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """A change has begun or ended."""

    is_wrong: bool
    since_ms: int
    difference: Difference
    usual: Mapping[str, str] = field(default_factory=dict)
    """The types that retyped places had."""
    is_accepted: bool = False


class Forms:
    """Watches the form of one endpoint's answers; `fields` are those of a schema, at most 500."""

    def __init__(self, checks: ProbeChecks, state: Mapping[str, Any] | None = None) -> None:
        self._checks = checks
        state = state or {}
        self._types = {path: set(types) for path, types in state.get("types", {}).items()}
        self._optional = set(state.get("optional", ()))
        self._learnt = int(state.get("learnt", 0))
        self._count = int(state.get("count", 0))
        self._since_ms = int(state.get("since", 0))
        self._back = int(state.get("back", 0))
        self._back_ms = int(state.get("back_since", 0))
        self._is_wrong = bool(state.get("wrong", False))
        self._common = _difference(state.get("common", {}))

    def take(self, time_ms: int, fields: Mapping[str, str]) -> Turn | None:
        """Take the form of an answer."""
        if self._learnt < _LEARNT:
            self._learn(fields)
            return None
        found = self._compared(fields)
        if not found:
            return self._fitting(time_ms)
        self._back = 0
        common = self._common.common(found) if self._count else found
        if not common or not self._count:
            self._count, self._since_ms, common = 0, time_ms, found
        self._count += 1
        self._common = common
        if self._is_wrong:
            return self._accepted(time_ms, fields)
        if self._count < self._checks.schema_after:
            return None
        return self._begun(fields)

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        common = self._common
        return {
            "types": {path: sorted(types) for path, types in self._types.items()},
            "optional": sorted(self._optional),
            "learnt": self._learnt,
            "count": self._count,
            "since": self._since_ms,
            "back": self._back,
            "back_since": self._back_ms,
            "wrong": self._is_wrong,
            "common": {"gone": sorted(common.gone), "came": dict(common.came), "retyped": dict(common.retyped)},
        }

    def _begun(self, fields: Mapping[str, str]) -> Turn:
        common = self._common
        usual = {path: "|".join(sorted(self._types[path])) for path in common.retyped}
        if common.is_breaking:
            self._is_wrong = True
        else:
            self._merge(fields)
            self._count = 0
        return Turn(common.is_breaking, self._since_ms, common, usual)

    def _fitting(self, time_ms: int) -> Turn | None:
        if not self._is_wrong:
            self._count = 0
            return None
        if not self._back:
            self._back_ms = time_ms
        self._back += 1
        if self._back < self._checks.recover_after:
            return None
        self._is_wrong, self._count, self._back = False, 0, 0
        return Turn(is_wrong=False, since_ms=self._back_ms, difference=_difference({}))

    def _accepted(self, time_ms: int, fields: Mapping[str, str]) -> Turn | None:
        if time_ms - self._since_ms < self._checks.accept_after_ms:
            return None
        turn = Turn(is_wrong=False, since_ms=time_ms, difference=self._common, is_accepted=True)
        self._types, self._optional = {}, set()
        self._is_wrong, self._count, self._learnt = False, 0, 0
        self._learn(fields)
        return turn

    def _learn(self, fields: Mapping[str, str]) -> None:
        if self._learnt:
            self._optional |= {path for path in self._types if path not in fields and _is_known(fields, path)}
            self._optional |= {path for path in fields if path not in self._types and parent(path) in self._types}
        self._merge(fields)
        self._learnt += 1

    def _merge(self, fields: Mapping[str, str]) -> None:
        for path, types in fields.items():
            if path in self._types or len(self._types) < _PLACES_MAX:
                self._types.setdefault(path, set()).update(types.rstrip(OPTIONAL).split("|"))
                if types.endswith(OPTIONAL):
                    self._optional.add(path)

    def _compared(self, fields: Mapping[str, str]) -> Difference:
        """Places within one that is gone, new or of another type are not told by themselves."""
        retyped = {
            path: types.rstrip(OPTIONAL)
            for path, types in fields.items()
            if path in self._types and set(types.rstrip(OPTIONAL).split("|")) - self._types[path]
        }
        came = {
            path: types.rstrip(OPTIONAL)
            for path, types in fields.items()
            if path not in self._types and parent(path) in self._types and parent(path) not in retyped
        }
        rare = {path for path, types in fields.items() if types.endswith(OPTIONAL)}
        gone = {
            path
            for path in self._types
            if path not in self._optional and (path in rare or (path not in fields and _is_known(fields, path)))
        }
        return Difference(frozenset(path for path in gone if parent(path) not in retyped), came, retyped)


def _is_known(fields: Mapping[str, str], path: str) -> bool:
    """Whether an answer says that a place is not there: an object around it is, and no empty array or map."""
    if path == ROOT or path.endswith(("[]", "*")):
        return False
    return "object" in fields.get(parent(path), "")


def _difference(state: Mapping[str, Any]) -> Difference:
    gone, came, retyped = (state.get(name, {}) for name in ("gone", "came", "retyped"))
    return Difference(frozenset(gone), dict(came), dict(retyped))
