"""Virtual time and one thread: who goes on next, and when, is a function of the seed."""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random

from greenlet import GreenletExit, greenlet


@dataclass(eq=False, slots=True)
class Process:
    """Code that runs until it waits. Killed, it never goes on; frozen, later than it meant to."""

    name: str
    thread: greenlet
    is_dead: bool = False
    frozen_until_s: float = 0.0
    error: Exception | None = None
    """How it has ended, if by an error."""


START_S = 1000.0


@dataclass(slots=True)
class World:
    """The clock, chance, and everything that is still to happen, in order."""

    seed: int
    now_s: float = START_S
    random: Random = field(init=False)
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _numbers: "count[int]" = field(default_factory=count)
    _hub: greenlet = field(default_factory=greenlet.getcurrent)
    _running: Process | None = None

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - a schedule, not a secret

    @property
    def running(self) -> str | None:
        """The name of the process that runs now."""
        return None if self._running is None else self._running.name

    def at(self, time_s: float, action: Callable[[], None]) -> None:
        """Let something happen then."""
        heapq.heappush(self._events, (time_s, next(self._numbers), action))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Let something happen so much later."""
        self.at(self.now_s + delay_s, action)

    def start(self, name: str, run: Callable[[], None]) -> Process:
        """A process that begins now."""

        def guarded() -> None:
            try:
                run()
            except Exception as error:  # noqa: BLE001 - whoever started it looks at how it ended
                process.error = error
            process.is_dead = True

        process = Process(name, greenlet(guarded, self._hub))
        self.at(self.now_s, lambda: self._resume(process))
        return process

    def kill(self, process: Process) -> None:
        """End it where it stands: nothing that it does on its way out counts any more."""
        process.is_dead = True
        process.thread.throw(GreenletExit)

    def freeze(self, process: Process, until_s: float) -> None:
        """Let it sleep on, as under SIGSTOP."""
        process.frozen_until_s = max(process.frozen_until_s, until_s)

    def sleep(self, seconds: float) -> None:
        """Called by a process: let the others run meanwhile."""
        process = self._running
        if process is None or process.is_dead:
            raise GreenletExit
        self.after(seconds, lambda: self._resume(process))
        self._hub.switch()

    def step(self) -> bool:
        """Let the next thing happen; False where nothing is left."""
        if not self._events:
            return False
        time_s, _, action = heapq.heappop(self._events)
        self.now_s = max(self.now_s, time_s)
        action()
        return True

    def run_until(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Go on until it holds; False where it does not by then."""
        while not condition():
            if self.now_s > limit_s or not self.step():
                return False
        return True

    def _resume(self, process: Process) -> None:
        if process.is_dead:
            return
        if process.frozen_until_s > self.now_s:
            self.at(process.frozen_until_s, lambda: self._resume(process))
            return
        self._running = process
        process.thread.switch()
        self._running = None
