"""What can go wrong on the way between a client and the cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import TypeVar

from kafka import errors

from tests.simulation.world import Process, World

T = TypeVar("T")


class Fate(StrEnum):
    """What becomes of a request that is sent once."""

    DONE = auto()
    UNSENT = auto()
    """It never arrives, and the connection breaks."""
    UNANSWERED = auto()
    """It arrives, and the connection breaks before the answer."""
    DELAYED = auto()
    """The connection breaks, and it arrives later: perhaps after what its sender did next."""


@dataclass(slots=True)
class Rates:
    """How often things go wrong; shares of requests."""

    unsent: float = 0.0
    unanswered: float = 0.0
    delayed: float = 0.0
    gives_up: float = 0.0
    """A client's own retries come to their end: it raises, whatever became of the request."""
    expired: float = 0.0
    """A batch that a producer holds is dropped by it."""
    stalled: float = 0.0
    """The process stands still, for up to twice the session timeout."""
    slow: float = 0.3
    """Others come in between."""


class Network:
    """The way of one process to the cluster."""

    def __init__(self, world: World, rates: Rates, stall_s: float) -> None:
        self.world = world
        self.rates = rates
        self.process: Process | None = None
        self.is_cut = False
        self._stall_s = stall_s

    @property
    def is_dead(self) -> bool:
        """Whether the process was killed: nothing that it does reaches anyone."""
        return self.process is not None and self.process.is_dead

    @property
    def is_frozen(self) -> bool:
        """Whether the process stands still."""
        return self.process is not None and self.process.frozen_until_s > self.world.now_s

    def pass_time(self) -> None:
        """Between two requests others may act; now and then the process stalls."""
        chance = self.world.random.random()
        if chance < self.rates.stalled and self.process is not None:
            self.world.freeze(self.process, self.world.now_s + self.world.random.random() * self._stall_s)
            self.world.sleep(0)
        elif chance < self.rates.slow:
            self.world.sleep(self.world.random.random() * 0.02)

    def _draw(self) -> Fate:
        if self.is_cut:
            return Fate.UNSENT
        chance = self.world.random.random()
        for fate, share in (
            (Fate.UNSENT, self.rates.unsent),
            (Fate.UNANSWERED, self.rates.unanswered),
            (Fate.DELAYED, self.rates.delayed),
        ):
            if chance < share:
                return fate
            chance -= share
        return Fate.DONE

    def ask(self, request: Callable[[], T]) -> T:
        """A request that changes nothing; tried again for a while."""
        until_s = self.world.now_s + 3
        while True:
            self.pass_time()
            if self._draw() is Fate.DONE:
                return request()
            if self.world.now_s > until_s or self.world.random.random() < self.rates.gives_up:
                raise errors.KafkaTimeoutError("simulated")
            self.world.sleep(0.05)

    def tell(self, request: Callable[[], T], resent: Callable[[], None] = lambda: None) -> T:
        """A request that a client sends again until it is answered; `resent` hears of it.

        Raises `KafkaTimeoutError` where the client gives up.
        """
        while True:
            self.pass_time()
            fate = self._draw()
            if fate is Fate.DONE:
                try:
                    return request()
                except errors.ConcurrentTransactionsError:
                    self.world.sleep(0.005)
                    continue
            if fate is Fate.UNANSWERED:
                self._ignore(request)
            elif fate is Fate.DELAYED:
                self.world.after(self.world.random.random() ** 2 * 3, lambda: self._ignore(request))
            if self.world.random.random() < self.rates.gives_up:
                raise errors.KafkaTimeoutError("simulated")
            resent()
            self.world.sleep(0.05)

    def _ignore(self, request: Callable[[], T]) -> None:
        """Let a request arrive whose sender does not hear of the answer."""
        try:
            request()
        except errors.KafkaError:
            return
