"""The laws of the join task over logs of thousands of records, where its tables grow and its columns move."""

from collections import Counter
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import numpy as np
import pytest

from streamguard.core.index import Index
from streamguard.core.join import Input
from streamguard.core.records import Fate
from streamguard.core.skeleton import Skeletons
from streamguard.core.store import Store
from streamguard.core.texts import Texts
from streamguard.core.waiting import Side
from tests.laws.joining import END, Logs, Walk, expected, written
from tests.laws.reference import Advance, Entry, Rules, join

RULES = [Rules(64, 400, 50), Rules(0, 130, 0), Rules(300, 300, 1000), Rules(0, 2000, 100), Rules(1, 5, 10)]


def side(
    chance: Random, records: Iterable[tuple[int, str]], rules: Rules
) -> tuple[tuple[Entry, ...], tuple[Advance, ...]]:
    """A log of records that come out of order, mostly within the disorder; some cannot be read."""
    repeat_share = chance.uniform(0.02, 0.3)
    arrivals = []
    for time_ms, name in records:
        for repeats in range(3):
            if chance.random() < (repeat_share if repeats else 0.95):
                at_ms = time_ms + chance.choice([0, 1, rules.horizon_ms, rules.horizon_ms + 1]) * bool(repeats)
                delay_ms = (
                    chance.randrange(rules.disorder_ms + 1) if chance.random() < 0.98 else 5 * rules.disorder_ms + 50
                )
                arrivals.append((at_ms + delay_ms, max(0, at_ms), name))
    arrivals.sort(key=lambda arrival: arrival[0])
    entries, advances, offset, clock_ms = [], [], 5, 0
    for _, time_ms, name in arrivals:
        offset += chance.choice([1, 1, 1, 3])
        clock_ms = max(clock_ms, time_ms)
        if chance.random() < 0.001:
            advances.append(Advance(offset, clock_ms + chance.randrange(1, 5)))
        entries.append(Entry(offset, time_ms, None if chance.random() < 0.01 else name, chance.choice("xy")))
    if chance.random() < 0.5:
        advances.append(Advance(END, 10**7))
    return tuple(entries), tuple(advances)


def long_logs(chance: Random, rules: Rules, count: int) -> Logs:
    """Predictions with their labels; an ID may come back, within the horizon or after it."""
    time_ms = 2_000
    predictions, labels = [], []
    for number in range(count):
        time_ms += chance.choice([0, 1, 1, 2])
        back = chance.randrange(4 * rules.horizon_ms) if chance.random() < 0.1 else 0
        name = f"r{number - back}" if number % 3 else f"request-{number - back:032}"
        predictions.append((time_ms, name))
        far_ms = chance.choice([0, 0, 0, 0, 1, rules.horizon_ms])
        labels.append((time_ms + chance.randint(-rules.before_ms - far_ms, rules.after_ms + far_ms), name))
    (left, left_advances), (right, right_advances) = (side(chance, each, rules) for each in (predictions, labels))
    return Logs((left, right), (left_advances, right_advances), rules)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often, and for how many records, the parts are called that small logs do not reach."""
    found: Counter[str] = Counter()

    def count(owner: type, name: str, size: Callable[[Any], int] = lambda _: 1) -> None:
        inner = getattr(owner, name)

        def outer(of: Any, *args: Any) -> Any:
            found[name] += size(args)
            return inner(of, *args)

        monkeypatch.setattr(owner, name, outer)

    count(Store, "compact")
    count(Index, "rebuild")
    count(Side, "partners", lambda args: len(args[0]))
    count(Side, "partner")
    count(Side, "share")
    count(Side, "_leave_group")
    inner_read = Skeletons.read

    def read(of: Skeletons, *args: Any) -> Any:
        for part in inner_read(of, *args):
            found["read"] += len(part.rows)
            yield part

    monkeypatch.setattr(Skeletons, "read", read)
    return found


def moves_of(chance: Random) -> tuple[int, int]:
    """How many predictions and labels the next step takes."""
    first, second = (int(3000 ** chance.random()) if chance.random() < 0.9 else 0 for _ in Input)
    return first, second


@pytest.mark.parametrize("seed", range(len(RULES)))
def test_results_are_those_of_the_definition(seed: int, called: Counter[str]) -> None:
    """However the logs are cut, and wherever the task is restarted."""
    check(seed)
    assert called["compact"] >= 2
    assert called["rebuild"] >= 4
    assert min(called[name] for name in ("partners", "read")) > 1000
    assert min(called[name] for name in ("partner", "share", "_leave_group")) > 100


def test_ids_whose_hashes_are_the_same_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 32 bits a few collide among millions of IDs; here all do."""
    hashes = Texts.hashes
    monkeypatch.setattr(
        Texts, "hashes", lambda texts, _seed: hashes(texts) % np.uint32(1000) * np.uint32(2_654_435_761)
    )
    check(0)


def check(seed: int) -> None:
    """A task that goes through logs in random moves, with restarts, against the definition."""
    chance = Random(seed)  # noqa: S311 - tests must repeat
    data = long_logs(chance, RULES[seed], 10_000)
    found = Walk(data, data.settings())
    while any(found.at[side] < len(data.entries[side]) for side in Input):
        found.go(moves_of(chance))
        if chance.random() < 0.1:
            counts, held_count = found.counts(), found.task.held_count
            found.restart([moves_of(chance) for _ in range(chance.randrange(6))])
            assert (found.counts(), found.task.held_count) == (counts, held_count)
    wanted = join(*data.entries, data.advances, data.rules)

    assert written(found.outputs) == expected(wanted)
    for side in Input:
        fates = Counter(wanted.fates[side].values())
        assert {fate: found.counts()[side][fate] for fate in Fate} == {fate: fates[fate] for fate in Fate}
        assert min(fates[fate] for fate in Fate if fate is not Fate.WAITING) > 20
