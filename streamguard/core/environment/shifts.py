"""Differences within one group, from the first instance that has another value until all are alike again.

A difference is told when it has spread no further for the grace: a deployment that goes from instance to instance
spreads, and one that is stuck does not. To spread is that more instances have some value than ever since it began, so
that one which goes to and fro does not hold it back; for the same reason a difference that ends untold is remembered
for the grace, and goes on if it comes again.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from streamguard.core.environment import telling
from streamguard.core.environment.change import Change
from streamguard.core.environment.facts import PACKAGE
from streamguard.core.environment.group import Group, Tally

_SHIFTS_MAX = 1000
# More packages than these that turn out to differ at once are told together: another image, not another package.
_SINGLY = 5


@dataclass(slots=True)
class Shift:
    """A difference. Times by the fleet's own clock are `_active`."""

    since_ms: int
    usual: str | None
    """What most had when it began."""
    most: Tally
    """By value, the most instances that have had it since."""
    spread_active: int
    """When it spread last."""
    even_active: int | None = None
    """Since when all are alike, if they are."""
    subject: str | None = None
    """As what it is told; None: it is not."""
    told: Tally | None = None
    """How many had which other value when it was told last."""

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        # In one order, whichever way it came about.
        told = None if self.told is None else sorted(self.told.items(), key=_order)
        most = sorted(self.most.items(), key=_order)
        return [self.since_ms, self.usual, most, self.spread_active, self.even_active, self.subject, told]

    @staticmethod
    def restored(state: list[Any]) -> "Shift":
        since_ms, usual, most, spread, even, subject, told = state
        return Shift(since_ms, usual, _tally(most), spread, even, subject, None if told is None else _tally(told))


class Shifts:
    """The differences of one group. `declared`: by fact, the value that it should have, whatever most have."""

    def __init__(
        self, group: Group, declared: Mapping[str, str | None], min_instances: int, is_ignored: Callable[[str], bool]
    ) -> None:
        self._group = group
        self._declared = declared
        self._min_instances = min_instances
        self._is_ignored = is_ignored
        self._shifts: dict[str, Shift] = {}

    def due(self, grace_ms: int) -> int | None:
        """When, by the fleet's own clock, one of them is to be told, or forgotten."""
        times = (
            (each.spread_active if each.even_active is None else each.even_active) + grace_ms
            for each in self._shifts.values()
            if each.subject is None
        )
        return min(times, default=None)

    def review(self, now_ms: int, active_ms: int, grace_ms: int) -> list[Change]:
        """Look at who has what now."""
        ended: list[str] = []
        for fact in dict.fromkeys((*self._shifts, *sorted(self._group.uneven()), *self._declared)):
            tally = self._group.tally(fact)
            if self._is_off(fact, tally):
                self._spread(fact, tally, now_ms, active_ms)
            elif fact in self._shifts:
                ended.append(fact)
        changes = [*self._ended(ended, active_ms, grace_ms)]
        ripe = [
            fact
            for fact, each in self._shifts.items()
            if each.subject is None and each.even_active is None and active_ms - each.spread_active >= grace_ms
        ]
        self._name(ripe)
        return [*changes, *self._wrong()]

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return [[fact, each.snapshot()] for fact, each in self._shifts.items()]

    def restore(self, state: list[Any]) -> None:
        self._shifts = {fact: Shift.restored(each) for fact, each in state}

    def _is_off(self, fact: str, tally: Tally) -> bool:
        if self._is_ignored(fact):
            return False
        if fact in self._declared:
            return any(value != self._declared[fact] for value in tally)
        return len(tally) > 1 and sum(tally.values()) >= self._min_instances

    def _expected(self, fact: str, tally: Tally) -> telling.Expected:
        if fact in self._declared:
            return (self._declared[fact],)
        value, count = max(tally.items(), key=lambda each: each[1])
        return (value,) if 2 * count > sum(tally.values()) else None

    def _off(self, fact: str) -> Tally:
        """What is not as it should be, by value: not news where more or fewer have the usual one."""
        tally = self._group.tally(fact)
        expected = self._expected(fact, tally)
        return tally if expected is None else {value: count for value, count in tally.items() if value != expected[0]}

    def _spread(self, fact: str, tally: Tally, now_ms: int, active_ms: int) -> None:
        shift = self._shifts.get(fact)
        if shift is None:
            if len(self._shifts) < _SHIFTS_MAX:
                usual = self._declared[fact] if fact in self._declared else _usual(tally)
                self._shifts[fact] = Shift(now_ms, usual, dict(tally), active_ms)
            return
        shift.even_active = None
        for value, count in tally.items():
            if count > shift.most.get(value, 0):
                shift.most[value] = count
                shift.spread_active = active_ms

    def _ended(self, facts: list[str], active_ms: int, grace_ms: int) -> Iterator[Change]:
        holders = self._group.by_value(facts)
        over: list[tuple[str, str, int]] = []
        for fact in facts:
            shift = self._shifts[fact]
            value = next(iter(holders[fact]), None)
            if shift.subject is not None:
                del self._shifts[fact]
                over.append((shift.subject, telling.agreement(fact, holders[fact], shift.usual), shift.since_ms))
            elif len(holders[fact]) == 1 and value != shift.usual:
                # A deployment that has gone through.
                del self._shifts[fact]
                told = telling.agreement(fact, holders[fact], shift.usual)
                yield self._change(self._subject(fact), told, shift.since_ms, self._details(fact, holders[fact]))
            elif shift.even_active is None:
                shift.even_active = active_ms
            elif active_ms - shift.even_active >= grace_ms:
                del self._shifts[fact]
        left = {each.subject for each in self._shifts.values()}
        for subject in dict.fromkeys(subject for subject, _, _ in over if subject not in left):
            all_told = [(told, since_ms) for name, told, since_ms in over if name == subject]
            told, since_ms = all_told[0]
            words = told if len(all_told) == 1 else f"{told}, and so of {len(all_told) - 1} more"
            yield self._change(subject, words, since_ms, {})

    def _name(self, ripe: list[str]) -> None:
        """Give those that are to be told a subject: packages together, where there are many."""
        packages = [fact for fact in ripe if fact.startswith(PACKAGE)]
        together = set(packages) if len(packages) > _SINGLY else set()
        for fact in ripe:
            self._shifts[fact].subject = self._subject("packages" if fact in together else fact)

    def _wrong(self) -> Iterator[Change]:
        """What is told, where that has changed since it was told last."""
        subjects: dict[str, list[str]] = {}
        changed: set[str] = set()
        for fact, shift in self._shifts.items():
            if shift.subject is None:
                continue
            subjects.setdefault(shift.subject, []).append(fact)
            off = self._off(fact)
            if off != shift.told:
                shift.told = off
                changed.add(shift.subject)
        yield from (self._told(subject, facts) for subject, facts in subjects.items() if subject in changed)

    def _told(self, subject: str, facts: list[str]) -> Change:
        since_ms = min(self._shifts[fact].since_ms for fact in facts)
        by_fact = self._group.by_value(facts)
        if subject == self._subject(facts[0]):
            fact, holders = facts[0], by_fact[facts[0]]
            expected = self._expected(fact, {value: len(names) for value, names in holders.items()})
            told = telling.difference(fact, holders, expected, is_declared=fact in self._declared)
            details = self._details(fact, holders)
        else:
            expecteds = {
                fact: self._expected(fact, {value: len(names) for value, names in by_fact[fact].items()})
                for fact in facts
            }
            told = telling.differences(by_fact, expecteds, len(facts))
            details = telling.listed([self._details(fact, by_fact[fact]) for fact in facts])
        return self._change(subject, told, since_ms, details, is_wrong=True)

    def _details(self, fact: str, holders: telling.Holders) -> dict[str, Any]:
        expected = self._expected(fact, {value: len(names) for value, names in holders.items()})
        return telling.details(fact, holders, expected, is_declared=fact in self._declared)

    def _change(
        self, subject: str, told: str, since_ms: int, details: dict[str, Any], *, is_wrong: bool = False
    ) -> Change:
        about = {"model": self._group.model, "version": self._group.version}
        where = telling.of_group(self._group.model, self._group.version)
        words = f"{told} ({where.strip().removeprefix('of ')})" if where else told
        return Change(subject, is_wrong, words, since_ms, {**about, **details})

    def _subject(self, name: str) -> str:
        group = self._group
        return f"{name}{telling.of_group(group.model, group.version)}"


def _usual(tally: Tally) -> str | None:
    return max(tally.items(), key=lambda each: (each[1], each[0] is not None, each[0] or ""))[0]


def _tally(state: list[Any]) -> Tally:
    return dict(state)


def _order(item: tuple[str | None, int]) -> tuple[bool, str]:
    return item[0] is None, item[0] or ""
