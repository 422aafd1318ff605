import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.logs.assignment import Claim, Task, assign, decode, encode

Given = Mapping[str, frozenset[Task]]


def all_tasks(counts: Sequence[int]) -> list[Task]:
    """Every task of each kind."""
    return [Task(kind, partition) for kind, count in enumerate(counts) for partition in range(count)]


def spread(numbers: Sequence[int]) -> int:
    """Between the largest and the smallest."""
    return max(numbers) - min(numbers)


def is_even(counts: Sequence[int], loads: Sequence[Sequence[Task] | frozenset[Task]]) -> bool:
    """No member has two more than another, of any kind or of all."""
    kinds = [Counter(task.kind for task in tasks) for tasks in loads]
    return spread([len(tasks) for tasks in loads]) <= 1 and all(
        spread([each[kind] for each in kinds]) <= 1 for kind in range(len(counts))
    )


def check(counts: Sequence[int], members: Mapping[str, Claim], result: Given) -> None:
    """What holds for every result."""
    assert result.keys() == members.keys()
    assert sorted(task for tasks in result.values() for task in tasks) == all_tasks(counts)
    assert is_even(counts, list(result.values()))


def owners(counts: Sequence[int], members: Mapping[str, Claim]) -> dict[Task, str]:
    """Who held each task, said again in other words: the best claim, then the first name."""
    found = {}
    for task in all_tasks(counts):
        by = [(-claim.generation, name) for name, claim in members.items() if task in claim.tasks]
        by = [each for each in by if each[0] <= 0]
        if by:
            found[task] = min(by)[1]
    return found


def kept(result: Given, former: Mapping[Task, str]) -> int:
    """How many tasks stay with their former owner."""
    return sum(task in result[name] for task, name in former.items())


def most_kept(counts: Sequence[int], members: Mapping[str, Claim]) -> int:
    """The most that any even assignment keeps, by trying all of them."""
    names, tasks, former = sorted(members), all_tasks(counts), owners(counts, members)
    best = -1
    for choice in itertools.product(names, repeat=len(tasks)):
        loads: dict[str, list[Task]] = {name: [] for name in names}
        for task, name in zip(tasks, choice, strict=True):
            loads[name].append(task)
        if is_even(counts, list(loads.values())):
            best = max(best, sum(former.get(task) == name for task, name in zip(tasks, choice, strict=True)))
    return best


def claims(counts: Sequence[int]) -> st.SearchStrategy[Claim]:
    """Any claim, also one on tasks that do not exist."""
    tasks = st.sampled_from([*all_tasks(counts), Task(0, 99), Task(9, 0)])
    return st.builds(Claim, st.integers(-1, 3), st.frozensets(tasks))


def groups(most_members: int, most_tasks: int, kinds: int = 3) -> st.SearchStrategy[tuple[list[int], dict[str, Claim]]]:
    """Counts and members with any claims, also ones that contradict each other."""
    names = st.sampled_from("abcdefghijkl"[:most_members])
    counts = st.lists(st.integers(0, most_tasks), min_size=1, max_size=kinds)
    small = counts.filter(lambda counts: sum(counts) <= most_tasks * 2)
    return small.flatmap(lambda counts: st.tuples(st.just(counts), st.dictionaries(names, claims(counts), min_size=1)))


@given(groups(12, 20))
def test_every_task_once_and_evenly(group: tuple[list[int], dict[str, Claim]]) -> None:
    """Whatever is claimed, each task goes to one member, evenly, and each member is in the result."""
    counts, members = group
    check(counts, members, assign(counts, members))


@given(groups(3, 3))
def test_keeps_as_many_as_any_even_assignment(group: tuple[list[int], dict[str, Claim]]) -> None:
    """No even assignment leaves more tasks where they were: all of them were tried."""
    counts, members = group
    assert kept(assign(counts, members), owners(counts, members)) == most_kept(counts, members)


@pytest.mark.parametrize(
    ("counts", "held"),
    [
        # Who may have an extra of one kind depends on who takes that of another.
        ((1, 1, 1), {"a": [], "b": [(0, 0), (1, 0), (2, 0)], "c": [], "d": []}),
        ((2, 1), {"a": [(0, 0), (0, 1)], "b": [(1, 0)], "c": []}),
        ((1, 2, 2), {"a": [(0, 0), (1, 0)], "b": [(1, 1), (2, 0)], "c": [(2, 1)]}),
        ((1, 1, 2), {"a": [(0, 0), (2, 0)], "b": [(0, 0), (1, 0)], "c": []}),
    ],
)
def test_keeps_most_where_kinds_compete(counts: tuple[int, ...], held: dict[str, list[tuple[int, int]]]) -> None:
    """Where who may have one kind's extra depends on who has another's, the best of all ways is found."""
    members = {name: Claim(1, frozenset(Task(*each) for each in tasks)) for name, tasks in held.items()}
    assert kept(assign(counts, members), owners(counts, members)) == most_kept(counts, members)


@given(groups(8, 12), st.randoms(use_true_random=False))
def test_order_means_nothing(group: tuple[list[int], dict[str, Claim]], random: Random) -> None:
    """Members named in another order, with claims built in another order, get the same."""
    counts, members = group
    names = list(members)
    random.shuffle(names)
    shuffled = {name: Claim(members[name].generation, frozenset(sorted(members[name].tasks)[::-1])) for name in names}
    assert assign(counts, shuffled) == assign(counts, members)


@given(groups(12, 20))
def test_nothing_changes_where_nothing_changed(group: tuple[list[int], dict[str, Claim]]) -> None:
    """The same members with what they were given get it again."""
    counts, members = group
    before = assign(counts, members)
    assert assign(counts, {name: Claim(4, tasks) for name, tasks in before.items()}) == before


@given(groups(12, 20, kinds=1).filter(lambda group: len(group[1]) > 1))
def test_who_leaves_moves_its_own_tasks_only(group: tuple[list[int], dict[str, Claim]]) -> None:
    """Of one kind, the others keep all they have; and who comes back takes no more than the even share."""
    counts, members = group
    before = assign(counts, members)
    *others, gone = sorted(members)
    after = assign(counts, {name: Claim(4, before[name]) for name in others})
    assert all(before[name] <= after[name] for name in others)
    again = assign(counts, {name: Claim(5, after[name]) for name in others} | {gone: Claim(4, before[gone])})
    assert all(again[name] <= after[name] for name in others)


@given(groups(8, 12))
def test_an_older_claim_never_wins(group: tuple[list[int], dict[str, Claim]]) -> None:
    """A claim on a task that a later generation gave to another is as good as none."""
    counts, members = group
    best = {
        task: max(claim.generation for claim in members.values() if task in claim.tasks)
        for claim in members.values()
        for task in claim.tasks
    }
    pruned = {
        name: Claim(claim.generation, frozenset(task for task in claim.tasks if best[task] == claim.generation))
        for name, claim in members.items()
    }
    assert assign(counts, pruned) == assign(counts, members)


def test_a_zombie_takes_nothing_from_who_came_after() -> None:
    """Who was away gets back what nobody was given meanwhile, whatever its name; the rest stays with its new owner."""
    tasks = [Task(0, number) for number in range(4)]
    for zombie, owner in (("a", "b"), ("b", "a")):
        members = {zombie: Claim(3, frozenset(tasks)), owner: Claim(4, frozenset(tasks[:2]))}
        assert assign([4], members) == {owner: frozenset(tasks[:2]), zombie: frozenset(tasks[2:])}


def test_a_fresh_group_is_spread_evenly() -> None:
    """Without claims the extras of the kinds go to different members, in the order of their names."""
    result = assign([4, 4], {"b": Claim(), "a": Claim(), "c": Claim()})
    assert {name: sorted((task.kind, task.partition) for task in tasks) for name, tasks in result.items()} == {
        "a": [(0, 0), (0, 1), (1, 0)],
        "b": [(0, 2), (1, 1), (1, 2)],
        "c": [(0, 3), (1, 3)],
    }


def test_a_claim_from_no_generation_is_none() -> None:
    """Who was in no generation held nothing, whatever it says."""
    tasks = [Task(0, 0), Task(0, 1)]
    assert assign([2], {"a": Claim(), "b": Claim(-1, frozenset(tasks[:1]))}) == {
        "a": frozenset(tasks[:1]),
        "b": frozenset(tasks[1:]),
    }


def test_more_members_than_tasks() -> None:
    """Those that get nothing are in the result; no one gets a task of each kind while another has none."""
    result = assign([2, 1], {name: Claim() for name in "abcd"})
    assert sorted(map(len, result.values())) == [0, 1, 1, 1]


def test_nobody_and_nothing() -> None:
    """No members, or no tasks."""
    assert assign([3], {}) == {}
    assert assign([], {"a": Claim()}) == assign([0, 0], {"a": Claim()}) == {"a": frozenset()}


EVENTS = st.lists(
    st.tuples(st.sampled_from(["join", "leave", "stall", "back", "miss"]), st.sampled_from("abcd")), max_size=20
)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=2).filter(lambda counts: sum(counts) <= 5), EVENTS)
@settings(max_examples=50)
def test_a_group_over_time(counts: list[int], events: list[tuple[str, str]]) -> None:
    """Members join, leave, stall, return with old claims, and miss what they were given: each time even and sticky."""
    members: dict[str, Claim] = {}
    away: dict[str, Claim] = {}
    latest: dict[Task, tuple[int, str]] = {}
    for generation, (event, name) in enumerate(events):
        if event == "join":
            members.setdefault(name, Claim())
        elif event == "back" and name in away:
            members[name] = away[name]
        elif event in ("leave", "stall") and name in members:
            away[name] = members.pop(name) if event == "stall" else Claim()
        if not members:
            continue
        result = assign(counts, members)
        check(counts, members, result)
        former = {
            task: owner
            for task, (when, owner) in latest.items()
            if owner in members and members[owner].generation == when
        }
        assert former.items() <= owners(counts, members).items()
        assert kept(result, owners(counts, members)) == most_kept(counts, members)
        told = {each: tasks for each, tasks in result.items() if (event, name) != ("miss", each)}
        members |= {each: Claim(generation, tasks) for each, tasks in told.items()}
        latest |= {task: (generation, each) for each, tasks in told.items() for task in tasks}


@given(groups(1, 20).map(lambda group: group[1].popitem()[1]))
def test_a_claim_is_read_back(claim: Claim) -> None:
    """What is sent along is what is read."""
    if claim.generation >= 0:
        assert decode(encode(claim)) == claim
    else:
        assert decode(encode(claim)) == Claim()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["v", "generation", "tasks"]), inner),
)


@given(st.none() | st.binary() | ANYTHING.map(orjson.dumps))
def test_garbage_is_no_claim(data: bytes | None) -> None:
    """Whatever bytes come, there is a claim or none, never an error, and it can be used."""
    claim = decode(data)
    assert claim == Claim() or decode(encode(claim)) == claim
    assign([2, 2], {"a": claim})


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\xff",
        b"[" * 5000,
        b'{"v":2,"generation":7,"tasks":[[1]]}',
        b'{"v":1,"generation":7}',
        b'{"v":1,"generation":-2,"tasks":[[1]]}',
        b'{"v":1,"generation":2147483648,"tasks":[[1]]}',
        b'{"v":1,"generation":true,"tasks":[[1]]}',
        b'{"v":1,"generation":7,"tasks":[[-1]]}',
        b'{"v":1,"generation":7,"tasks":[[1.5]]}',
        b'{"v":1,"generation":7,"tasks":[1]}',
        b'{"v":1,"generation":7,"tasks":[["1"]]}',
    ],
)
def test_what_cannot_be_understood_is_no_claim(data: bytes | None) -> None:
    """No data, other versions, and fields of other types or out of Kafka's range."""
    assert decode(data) == Claim()
