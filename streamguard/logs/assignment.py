"""Which member of a group gets which tasks: evenly, and with as few moved as that allows.

What moves is read again from the log by its new owner, so that few moves mean short pauses. Nothing else depends
on who held what: a wrong claim costs time, never a result.

What is promised, for all inputs:

- every task goes to exactly one member, and every member is in the result;
- of each kind no member has two tasks more than another, and neither has it over all kinds;
- no other assignment of that evenness leaves more tasks with their former owners;
- a task's former owner is who claims it from the highest generation, of several the first by name;
- the result is a function of the counts and the claims, not of their order.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

_VERSION = 1
# Kafka's generations and partition numbers are signed 32-bit integers.
_END = 2**31


class Task(NamedTuple):
    """What is shared out as one: a partition number, and which kind of task reads it, counted from 0."""

    kind: int
    partition: int


@dataclass(frozen=True, slots=True)
class Claim:
    """What a member was given last, and in which generation of the group; -1 where it never was."""

    generation: int = -1
    tasks: frozenset[Task] = frozenset()


def assign(task_counts: Sequence[int], members: Mapping[str, Claim]) -> dict[str, frozenset[Task]]:
    """Share out `task_counts[kind]` tasks of each kind; claims on other tasks count for nothing.

    >>> given = assign([3], {"a": Claim(7, frozenset({Task(0, 0), Task(0, 1), Task(0, 2)})), "b": Claim()})
    >>> {name: sorted(tasks) for name, tasks in given.items()}
    {'a': [Task(kind=0, partition=0), Task(kind=0, partition=1)], 'b': [Task(kind=0, partition=2)]}
    """
    names = sorted(members)
    if not names:
        return {}
    owners = _owners(members)
    held: list[dict[str, list[Task]]] = []
    for kind, count in enumerate(task_counts):
        held.append({name: [] for name in names})
        for task in (Task(kind, partition) for partition in range(count)):
            if task in owners:
                held[kind][owners[task]].append(task)
    shares = _shares(task_counts, [[len(each[name]) for name in names] for each in held])
    given: dict[str, list[Task]] = {name: [] for name in names}
    for kind, count in enumerate(task_counts):
        kept = [held[kind][name][:share] for name, share in zip(names, shares[kind], strict=True)]
        taken = {task for tasks in kept for task in tasks}
        free = iter([task for task in (Task(kind, partition) for partition in range(count)) if task not in taken])
        for name, share, tasks in zip(names, shares[kind], kept, strict=True):
            given[name] += tasks
            given[name] += (next(free) for _ in range(share - len(tasks)))
    return {name: frozenset(tasks) for name, tasks in given.items()}


def _owners(members: Mapping[str, Claim]) -> dict[Task, str]:
    """Who held each task last, of all that say so."""
    owners: dict[Task, str] = {}
    for name in sorted(members):
        claim = members[name]
        for task in claim.tasks if claim.generation >= 0 else ():
            if task not in owners or claim.generation > members[owners[task]].generation:
                owners[task] = name
    return owners


def _shares(task_counts: Sequence[int], held: Sequence[Sequence[int]]) -> list[list[int]]:
    """How many tasks of each kind each member gets: the even share, and for some one more."""
    if not task_counts:
        return []
    members = len(held[0])
    floors = [count // members for count in task_counts]
    extras = _Extras(
        wanted=[[count > floor for count in counts] for counts, floor in zip(held, floors, strict=True)],
        least=sum(count % members for count in task_counts) // members,
    )
    for kind, count in enumerate(task_counts):
        for _ in range(count % members):
            extras.add(kind)
    return [[floor + one for one in chosen] for floor, chosen in zip(floors, extras.chosen, strict=True)]


class _Extras:
    """Who gets one task more than the even share, of each kind.

    A minimum-cost flow from kinds to members, by successive shortest paths: exact, and no member gets two more
    than another over all kinds. `wanted` says where an extra keeps a task from moving, and `least` how many extras
    each member gets at least.
    """

    def __init__(self, wanted: list[list[bool]], least: int) -> None:
        self.chosen = [[False] * len(each) for each in wanted]
        self._wanted = wanted
        self._least = least
        self._totals = [0] * len(wanted[0])
        # Evenness is worth more than all that could be kept.
        self._even = 1 + sum(map(len, wanted))

    def add(self, kind: int) -> None:
        """One extra more of a kind. Those chosen before may change places, kind for kind."""
        costs, via = self._paths(kind)
        # Of equal costs the fewest changes, then the first by name.
        _, _, last, member = min(
            (
                cost - self._wanted[end][member] - self._even * (self._totals[member] < self._least),
                end != kind,
                end,
                member,
            )
            for end, cost in costs.items()
            for member in self._without(end)
            if self._totals[member] <= self._least
        )
        self._totals[member] += 1
        self.chosen[last][member] = True
        while last != kind:
            former, member = via[last]
            self.chosen[last][member], self.chosen[former][member] = False, True
            last = former

    def _paths(self, start: int) -> tuple[dict[int, int], dict[int, tuple[int, int]]]:
        """What it costs to have another kind look for a member instead, and who then changes from which kind.

        Bellman-Ford: with the least cost so far, no circle of changes can cost less than nothing.
        """
        costs = {start: 0}
        via: dict[int, tuple[int, int]] = {}
        changed = True
        while changed:
            changed = False
            for kind, cost in list(costs.items()):
                for member in self._without(kind):
                    for other, chosen in enumerate(self.chosen):
                        new = cost - self._wanted[kind][member] + self._wanted[other][member]
                        if chosen[member] and (other not in costs or new < costs[other]):
                            costs[other], via[other], changed = new, (kind, member), True
        return costs, via

    def _without(self, kind: int) -> Iterable[int]:
        return (member for member, has in enumerate(self.chosen[kind]) if not has)


def encode(claim: Claim) -> bytes:
    """A claim as what a member sends along when it joins.

    >>> encode(Claim(7, frozenset({Task(0, 3), Task(1, 2), Task(0, 1)})))
    b'{"v":1,"generation":7,"tasks":[[1,3],[2]]}'
    """
    tasks: list[list[int]] = [[] for _ in range(1 + max((task.kind for task in claim.tasks), default=-1))]
    for task in sorted(claim.tasks):
        tasks[task.kind].append(task.partition)
    return orjson.dumps({"v": _VERSION, "generation": claim.generation, "tasks": tasks})


def decode(data: bytes | None) -> Claim:
    """The claim that was sent along; none where it cannot be understood."""
    try:
        found = orjson.loads(data or b"")
    except orjson.JSONDecodeError:
        return Claim()
    match found:
        case {"v": version, "generation": generation, "tasks": list(kinds)} if version == _VERSION:
            partitions = [each for each in kinds if isinstance(each, list)]
            if (
                len(partitions) == len(kinds)
                and _is_number(generation)
                and all(_is_number(number) for each in partitions for number in each)
            ):
                tasks = (Task(kind, number) for kind, each in enumerate(partitions) for number in each)
                return Claim(generation, frozenset(tasks))
    return Claim()


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value < _END
