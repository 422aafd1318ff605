"""The instances of one model and version: who has which value of what, counted as they come and go."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from streamguard.core.environment.facts import PACKAGE

Tally = dict[str | None, int]
"""Of one fact: by value, how many instances have it."""


@dataclass(frozen=True, slots=True, eq=False)
class FactSet:
    """All facts of an instance, one object for all instances that are alike."""

    digest: str
    facts: dict[str, str | None]
    has_packages: bool

    def value(self, fact: str) -> tuple[str | None] | None:
        """What an instance has of a fact, in a tuple; None where that is not known."""
        if fact in self.facts:
            return (self.facts[fact],)
        return (None,) if self.has_packages and fact.startswith(PACKAGE) else None


@dataclass(slots=True)
class Group:
    """Instances that should be alike."""

    model: str | None
    version: str | None
    members: dict[str, FactSet] = field(default_factory=dict)
    _counts: dict[str, Tally] = field(default_factory=dict)
    _with_packages: int = 0

    @property
    def fact_count(self) -> int:
        """How many different facts are counted."""
        return len(self._counts)

    def lacks(self, facts: FactSet) -> int:
        """How many facts would be new."""
        return len(facts.facts.keys() - self._counts.keys())

    def put(self, instance: str, facts: FactSet) -> None:
        """An instance that is new, or has other facts than before."""
        self.remove(instance)
        self.members[instance] = facts
        self._with_packages += facts.has_packages
        for fact, value in facts.facts.items():
            tally = self._counts.setdefault(fact, {})
            tally[value] = tally.get(value, 0) + 1

    def remove(self, instance: str) -> None:
        """An instance that is gone, if it was there."""
        facts = self.members.pop(instance, None)
        if facts is None:
            return
        self._with_packages -= facts.has_packages
        for fact, value in facts.facts.items():
            tally = self._counts[fact]
            tally[value] -= 1
            if not tally[value]:
                del tally[value]
                if not tally:
                    del self._counts[fact]

    def tally(self, fact: str) -> Tally:
        """Who has what of a fact, among those of whom it is known."""
        tally = self._counts.get(fact, {})
        lacking = self._with_packages - sum(tally.values()) if fact.startswith(PACKAGE) else 0
        return {**tally, None: lacking} if lacking > 0 else dict(tally)

    def uneven(self) -> list[str]:
        """The facts of which not all have the same value."""
        count = self._with_packages
        return [
            fact
            for fact, tally in self._counts.items()
            if len(tally) > 1 or (fact.startswith(PACKAGE) and sum(tally.values()) != count)
        ]

    def by_value(self, facts: Iterable[str]) -> dict[str, dict[str | None, list[str]]]:
        """Of each fact: by value, the instances that have it, by name."""
        found: dict[str, dict[str | None, list[str]]] = {fact: {} for fact in facts}
        for instance in sorted(self.members, key=_natural) if found else ():
            its = self.members[instance]
            for fact, values in found.items():
                if (value := its.value(fact)) is not None:
                    values.setdefault(value[0], []).append(instance)
        return found


def _natural(name: str) -> tuple[list[str], str]:
    """So that pod-10 comes after pod-9: numbers are ordered by their length first."""
    return [f"{len(part):04}{part}" if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
