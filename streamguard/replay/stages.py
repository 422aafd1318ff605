"""Stage one of a replay: the join of some partitions, in this process or in one of its own."""

import math
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from typing import Any, Protocol

from streamguard.core.join import JoinSettings
from streamguard.core.waiting import NEVER
from streamguard.processes import Child
from streamguard.replay.joining import Joinings, Pair, Seen, Step
from streamguard.replay.topics import together


class Stage(Protocol):
    """The join of some partitions, which is read step by step."""

    reached_ms: float
    """No outcome before this follows; infinite where all is read."""

    def step(self) -> Step:
        """Read on; not after the end."""
        ...

    def advance(self, until_ms: float, *, is_last: bool = False) -> list[tuple[int, bytes]]:
        """All is read, and others have come this far, or to their end, too."""
        ...

    def stop(self) -> None:
        """Read no further; what was read already may still come by `step`."""
        ...

    def last_ms(self) -> int:
        """The largest event time of a record so far."""
        ...

    def seen(self) -> list[tuple[int, Seen, Seen]]:
        """What the predictions and the labels of each partition were like."""
        ...

    def close(self) -> None: ...


class Here:
    """In this process."""

    def __init__(self, pairs: Sequence[Pair], settings: JoinSettings) -> None:
        self._joinings = Joinings(_shared(pairs), settings)
        self._steps = self._joinings.steps()
        self.reached_ms: float = NEVER

    def step(self) -> Step:
        step = next(self._steps, None) or Step(reached_ms=math.inf)
        self.reached_ms = step.reached_ms
        return step

    def advance(self, until_ms: float, *, is_last: bool = False) -> list[tuple[int, bytes]]:
        return self._joinings.advance(until_ms, is_last=is_last)

    def stop(self) -> None:
        self._steps = iter(())

    def last_ms(self) -> int:
        return self._joinings.last_ms

    def seen(self) -> list[tuple[int, Seen, Seen]]:
        return self._joinings.seen()

    def close(self) -> None:
        pass


class Elsewhere:
    """In a process of its own, which is a step ahead: it works while its last step is worked on here."""

    def __init__(self, pairs: Sequence[Pair], settings: JoinSettings) -> None:
        self._child = Child(_joined, list(pairs), settings)
        self.reached_ms: float = NEVER

    def step(self) -> Step:
        step: Step = self._child.hear()
        self.reached_ms = step.reached_ms
        return step

    def advance(self, until_ms: float, *, is_last: bool = False) -> list[tuple[int, bytes]]:
        outcomes: list[tuple[int, bytes]] = self._child.ask("advance", until_ms, is_last)
        return outcomes

    def stop(self) -> None:
        self._child.tell("stop")

    def last_ms(self) -> int:
        found: int = self._child.ask("last_ms")
        return found

    def seen(self) -> list[tuple[int, Seen, Seen]]:
        found: list[tuple[int, Seen, Seen]] = self._child.ask("seen")
        return found

    def close(self) -> None:
        self._child.close()


def _joined(connection: Connection, pairs: Sequence[Pair], settings: JoinSettings) -> Iterator[Any]:
    """All steps, one after the other; then answers."""
    joinings = Joinings(_shared(pairs), settings)
    for step in joinings.steps():
        # The end is said by itself, so that all that can be said before it is to stop.
        step.reached_ms = min(step.reached_ms, joinings.last_ms)
        yield step
        if connection.poll():
            break
    yield Step(reached_ms=math.inf)
    while True:
        name, *rest = connection.recv()
        if name == "advance":
            yield joinings.advance(rest[0], is_last=rest[1])
        elif name != "stop":
            yield joinings.last_ms if name == "last_ms" else joinings.seen()


def _shared(pairs: Sequence[Pair]) -> list[Pair]:
    """The same, each topic of theirs read by one client."""
    predictions, labels = together([each.predictions for each in pairs]), together([each.labels for each in pairs])
    numbers = [each.number for each in pairs]
    return [Pair(*each) for each in zip(numbers, predictions, labels, strict=True)]
