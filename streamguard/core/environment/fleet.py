"""The instances that serve, by their fingerprints: which is not like the others, short of memory, or gone.

Durations are of the fleet's own clock: it goes with event time while somebody reports, and stands where all are silent
at once. So nobody is forgotten, and nothing is told, because the topic was out of reach for an hour.
"""

from collections import Counter
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any

import orjson

from streamguard.config.serving import Environment
from streamguard.core.environment.change import Change
from streamguard.core.environment.facts import PACKAGE, Fingerprint, read
from streamguard.core.environment.group import FactSet, Group
from streamguard.core.environment.health import Health
from streamguard.core.environment.shifts import Shifts
from streamguard.core.fields import Unreadable

INSTANCES_MAX = 5000
_GROUP_FACTS_MAX = 20_000
_FACTS_MAX = 1_000_000
_MISSED = 3
_GRACE_INTERVALS = 4
_EVERY_MS = 300_000
_TEXTS_MAX = 200_000

_Key = tuple[str | None, str | None]
"""Model and version."""


class _Instance:
    """What is known of one. Times are of the fleet's own clock."""

    __slots__ = ("every_ms", "facts", "group", "seen_active")

    def __init__(self, group: _Key, facts: FactSet, every_ms: int, seen_active: int) -> None:
        self.group, self.facts, self.every_ms, self.seen_active = group, facts, every_ms, seen_active


class Fleet:
    """Judges fingerprints. State is bounded: see the constants above, beyond which records are rejected."""

    def __init__(self, settings: Environment, state: dict[str, Any] | None = None) -> None:
        self._settings = settings
        self._declared = _declared(settings)
        self._ignored: dict[str, bool] = {}
        self._texts: dict[str, str] = {}
        self._sets: dict[str, FactSet] = {}
        self._users: Counter[str] = Counter()
        self._fact_count = 0
        self._instances: dict[str, _Instance] = {}
        self._groups: dict[_Key, Group] = {}
        self._shifts: dict[_Key, Shifts] = {}
        self._now_ms, self._active_ms, self._longest_ms = -1, 0, 0
        self._health = Health(settings)
        if state is not None:
            self._restore(state)

    def take(self, time_ms: int, fingerprint: dict[str, Any]) -> list[Change]:
        """Take a fingerprint that was written at this event time; returns what has changed by it.

        Raises `Unreadable`, a `ValueError` with the reason, for what is none; nothing has changed then.
        """
        found = read(fingerprint)
        facts = self._fact_set(found)
        key = found.model, found.version
        self._check_room(found.instance, key, facts)
        self._longest_ms = max(self._longest_ms, found.every_ms)
        self._advance(time_ms)
        left = self._forget(found.instance)
        touched = {group for _, group in left} | self._place(found, key, facts)
        changes = self._health.take(found.instance, found.memory, time_ms, [name for name, _ in left])
        changes += self._health.missing(len(self._instances), time_ms, self._active_ms, self._grace_ms)
        return changes + self._review(touched, time_ms)

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON. `sets` has what instances have in common, by digest, and is the large part."""
        return {
            "clock": [self._now_ms, self._active_ms, self._longest_ms],
            "instances": [
                [name, *each.group, each.facts.digest, each.every_ms, each.seen_active]
                for name, each in self._instances.items()
            ],
            "sets": {digest: [each.facts, each.has_packages] for digest, each in self._sets.items()},
            "shifts": [[*key, each.snapshot()] for key, each in self._shifts.items()],
            "health": self._health.snapshot(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._now_ms, self._active_ms, self._longest_ms = state["clock"]
        for digest, (facts, has_packages) in state["sets"].items():
            self._sets[digest] = self._shared(FactSet(digest, facts, has_packages))
            self._fact_count += len(facts)
        for model, version, _ in state["shifts"]:
            self._group((model, version))
        for name, model, version, digest, every_ms, seen_active in state["instances"]:
            facts = self._sets[digest]
            self._instances[name] = _Instance((model, version), facts, every_ms, seen_active)
            self._users[digest] += 1
            self._group((model, version)).put(name, facts)
        for model, version, shifts in state["shifts"]:
            self._shifts[model, version].restore(shifts)
        self._health.restore(state["health"])

    @property
    def _grace_ms(self) -> int:
        return max(self._settings.grace_ms, _GRACE_INTERVALS * self._longest_ms)

    def _fact_set(self, found: Fingerprint) -> FactSet:
        """That of another instance which is alike, if there is one."""
        body = orjson.dumps([found.has_packages, found.facts], option=orjson.OPT_SORT_KEYS)
        digest = blake2b(body, digest_size=16).hexdigest()
        return self._sets.get(digest) or FactSet(digest, found.facts, found.has_packages)

    def _shared(self, facts: FactSet) -> FactSet:
        """With texts that are one object each, whoever has them."""
        if len(self._texts) > _TEXTS_MAX:
            self._texts.clear()
        texts = self._texts
        shared = {
            texts.setdefault(name, name): None if value is None else texts.setdefault(value, value)
            for name, value in facts.facts.items()
        }
        return FactSet(facts.digest, shared, facts.has_packages)

    def _check_room(self, name: str, key: _Key, facts: FactSet) -> None:
        if name not in self._instances and len(self._instances) >= INSTANCES_MAX:
            raise Unreadable(f"instance {name[:80]!r} is one more than the {INSTANCES_MAX} that are compared")
        if facts.digest in self._sets:
            return
        group = self._groups.get(key)
        new = len(facts.facts) if group is None else group.fact_count + group.lacks(facts)
        if new > _GROUP_FACTS_MAX or self._fact_count + len(facts.facts) > _FACTS_MAX:
            raise Unreadable("instances differ in more packages and variables than can be compared")

    def _advance(self, time_ms: int) -> None:
        if self._now_ms >= 0:
            self._active_ms += min(max(time_ms - self._now_ms, 0), self._longest_ms * 3 // 2)
        self._now_ms = time_ms

    def _forget(self, reporting: str) -> list[tuple[str, _Key]]:
        """Instances that have missed three of their intervals."""
        left = [
            (name, each.group)
            for name, each in self._instances.items()
            if self._active_ms - each.seen_active > _MISSED * each.every_ms and name != reporting
        ]
        for name, key in left:
            self._groups[key].remove(name)
            self._drop(self._instances.pop(name).facts)
        if left:
            self._longest_ms = max((each.every_ms for each in self._instances.values()), default=self._longest_ms)
        return left

    def _place(self, found: Fingerprint, key: _Key, facts: FactSet) -> set[_Key]:
        """Put an instance where it belongs; returns the groups in which that changes anything."""
        known = self._instances.get(found.instance)
        if known is not None and known.facts is facts and known.group == key:
            known.every_ms, known.seen_active = found.every_ms, self._active_ms
            return set()
        if facts.digest not in self._sets:
            facts = self._sets[facts.digest] = self._shared(facts)
            self._fact_count += len(facts.facts)
        self._users[facts.digest] += 1
        touched = {key}
        if known is not None:
            touched.add(known.group)
            self._groups[known.group].remove(found.instance)
            self._drop(known.facts)
        self._instances[found.instance] = _Instance(key, facts, found.every_ms, self._active_ms)
        self._group(key).put(found.instance, facts)
        return touched

    def _drop(self, facts: FactSet) -> None:
        self._users[facts.digest] -= 1
        if not self._users[facts.digest]:
            del self._users[facts.digest]
            del self._sets[facts.digest]
            self._fact_count -= len(facts.facts)

    def _group(self, key: _Key) -> Group:
        if key not in self._groups:
            group = self._groups[key] = Group(*key)
            self._shifts[key] = Shifts(group, self._declared, self._settings.min_instances, self._is_ignored)
        return self._groups[key]

    def _review(self, touched: set[_Key], time_ms: int) -> list[Change]:
        changes: list[Change] = []
        for key, shifts in [*self._shifts.items()]:
            due = shifts.due(self._grace_ms)
            if key in touched or (due is not None and due <= self._active_ms):
                changes += shifts.review(time_ms, self._active_ms, self._grace_ms)
                if not self._groups[key].members:
                    del self._groups[key], self._shifts[key]
        return changes

    def _is_ignored(self, fact: str) -> bool:
        if len(self._ignored) > _TEXTS_MAX:
            self._ignored.clear()
        if fact not in self._ignored:
            self._ignored[fact] = any(fnmatchcase(fact, pattern) for pattern in self._settings.ignore)
        return self._ignored[fact]


def _declared(settings: Environment) -> dict[str, str | None]:
    """What the configuration declares, by fact."""
    baseline = settings.baseline
    declared = {PACKAGE + name: version for name, version in baseline.packages.items()}
    declared |= {f"variable {name}": value for name, value in baseline.variables.items()}
    declared |= {f"model file {name}": digest.lower() for name, digest in baseline.model_files.items()}
    return declared if baseline.python is None else {**declared, "python": baseline.python}
