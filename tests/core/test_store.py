"""The columns of remembered records against a list of rows."""

import random
from typing import Any, NamedTuple

import numpy as np
import pytest

from streamguard.core import texts as texts_module
from streamguard.core.codec import Columns, objects
from streamguard.core.store import Store
from streamguard.core.texts import Texts


class Row(NamedTuple):
    """A record, and what is remembered of it."""

    id: str
    time_ms: int
    offset: int
    value: Any = None
    score: float = 0.0
    route: Any = None


def columns(rows: list[Row], *, with_scores: bool) -> Columns:
    """The rows as they are read."""
    ids, times, offsets, values, scores, routes = zip(*rows, strict=True) if rows else ((),) * 6
    return Columns(
        np.array(offsets, np.int64),
        np.array(times, np.int64),
        Texts.of(ids),
        objects(values),
        np.array(scores, np.float64) if with_scores else None,
        objects(routes),
    )


class Model:
    """A store, and the rows that must be in it by slot; None: dead."""

    def __init__(self, *, with_scores: bool) -> None:
        self.store = Store(with_scores=with_scores)
        self.rows: list[Row | None] = []
        self._with_scores = with_scores

    @property
    def alive(self) -> list[int]:
        return [slot for slot, row in enumerate(self.rows) if row is not None]

    def append(self, rows: list[Row], remembered: list[bool]) -> None:
        batch = columns(rows, with_scores=self._with_scores)
        slots = self.store.append(batch, batch.ids.hashes())
        assert slots.tolist() == list(range(len(self.rows), len(self.rows) + len(rows)))
        assert not self.store.flags[slots].any()
        self.store.flags[slots] = 1
        is_in = np.array(remembered, np.bool_)
        self.store.remember(slots[is_in], batch.take(is_in))
        self.rows += [
            row if is_kept else Row(row.id, row.time_ms, row.offset)
            for row, is_kept in zip(rows, remembered, strict=True)
        ]

    def let_go(self, slots: list[int]) -> None:
        self.store.let_go(np.array(slots, np.int32))
        for slot in slots:
            row = self.rows[slot]
            self.rows[slot] = row and row._replace(value=None, route=None)

    def kill(self, slots: list[int]) -> None:
        self.store.kill(np.array(slots, np.int32))
        for slot in slots:
            self.rows[slot] = None
        assert self.store.dead_count == self.rows.count(None)

    def compact(self) -> None:
        alive = self.alive
        new_slots = self.store.compact()
        assert new_slots.tolist() == [alive.index(slot) if row else -1 for slot, row in enumerate(self.rows)]
        self.rows = [self.rows[slot] for slot in alive]
        assert (self.store.size, self.store.dead_count) == (len(alive), 0)

    def check(self) -> None:
        alive = self.alive
        rows = [row for row in self.rows if row is not None]
        slots = np.array(alive, np.int32)
        assert self.store.size == len(self.rows)
        ids = self.store.ids(slots)
        assert ids.tolist() == [row.id for row in rows]
        assert self.store.hashes[slots].tolist() == Texts.of([row.id for row in rows]).hashes().tolist()
        half = self.store.half(slots)
        assert half.offsets.tolist() == [row.offset for row in rows]
        assert half.times.tolist() == [row.time_ms for row in rows]
        assert half.values.tolist() == [row.value for row in rows]
        assert half.routes is not None
        assert half.routes.tolist() == [row.route for row in rows]
        assert (half.scores is not None) is self._with_scores
        if half.scores is not None:
            open_scores = [(score, row.score) for score, row in zip(half.scores, rows, strict=True) if row.route]
            assert all(score == expected for score, expected in open_scores)


@pytest.mark.parametrize("with_scores", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_it_keeps_rows_through_growth_and_compaction(
    seed: int, monkeypatch: pytest.MonkeyPatch, *, with_scores: bool
) -> None:
    """Rows of IDs of all sizes come, are let go and die in any order; the others stay as they are."""
    monkeypatch.setattr(texts_module, "_JOINED_BYTES", 100)
    chance = random.Random(seed)  # noqa: S311 - tests must repeat
    model = Model(with_scores=with_scores)
    room, compactions = set(), 0
    for step in range(40):
        rows = [
            Row(
                chance.choice(["", "é"]) + "x" * chance.randrange(40),
                chance.randrange(1 << 40),
                number,
                "v",
                0.5,
                ("r",),
            )
            for number in range(chance.choice([0, 1, 50, 1000]))
        ]
        model.append(rows, [chance.random() < 0.7 for _ in rows])
        model.let_go(chance.sample(model.alive, len(model.alive) // 5))
        model.kill(chance.sample(model.alive, len(model.alive) // 6))
        if step % 7 == 6:
            model.compact()
            compactions += 1
        model.check()
        room.add(len(model.store.flags))
    assert len(room) > 8
    assert compactions == 5


def test_all_may_die() -> None:
    """What comes after begins at slot 0 again."""
    model = Model(with_scores=True)
    model.append([Row("a", 1, 2, "v", 0.5, ("r",)), Row("b", 1, 2, "v", 0.5, ("r",))], [True, True])
    model.kill([0, 1])
    model.compact()
    model.check()
    model.append([Row("c", 3, 4, "v", 0.25, ("r",))], [True])
    model.check()
    assert model.alive == [0]


def test_what_is_let_go_is_freed() -> None:
    """A value is held for as long as its record waits, and no longer."""
    model = Model(with_scores=False)
    model.append([Row("a", 1, 2, "v", 0.5, ("r",))], [True])
    model.let_go([0])
    assert not any(model.store.values)
    assert not any(model.store.routes)


def test_ids_may_be_as_long_as_a_record() -> None:
    """The limit on IDs is a setting, and the one on records may be as large as any."""
    model = Model(with_scores=False)
    model.append([Row("a" * 70_000, 1, 2), Row("b", 1, 2), Row("é" * 70_000, 1, 2)], [False] * 3)
    model.check()
    model.kill([1])
    model.compact()
    model.check()
