"""What is done to workers, broker and network while records flow: each fault by name, and an order of them."""

import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from random import Random

from tests.integration.cluster import LOOK_S, Broker, Network
from tests.integration.crew import Crew
from tests.integration.proxy import ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT, Proxy
from tests.stopping import stop

# The defaults of log.session_timeout and log.transaction_timeout.
SESSION_S = 15.0
TRANSACTION_S = 10.0
WORK_S = 40
HIT_S = 10
NORMAL = ("a", "b", "c")

LOG_SETTINGS = {"session_timeout": f"{SESSION_S * 1000:.0f}ms", "transaction_timeout": f"{TRANSACTION_S * 1000:.0f}ms"}


@dataclass(slots=True)
class Scene:
    """All that faults are done to."""

    crew: Crew
    brokers: list[Broker]
    network: Network
    random: Random
    killed: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    """Network faults that met no traffic."""

    def victim(self) -> str:
        """A worker that has work; any, where none gets some in time."""
        names = sorted(self.crew.running)
        self.random.shuffle(names)
        self.crew.wait(WORK_S, lambda: any(self.crew.has_work(name) for name in names))
        return next((name for name in names if self.crew.has_work(name)), names[0])

    def work_on(self, shortest: float, longest: float) -> None:
        """Let workers work for a while; short times are as likely as long ones."""
        self.crew.wait(shortest * (longest / shortest) ** self.random.random())

    def break_network(
        self, name: str, begin: Callable[[Proxy], object], shortest: float = 1.0, longest: float = 5.0
    ) -> None:
        """A network fault that the proxy counts under this name, until it has hit something; none after it."""
        before = self.network.counts[name]
        self.network.each(begin)
        self.work_on(shortest, longest)
        if not self.crew.wait(HIT_S, lambda: self.network.counts[name] > before):
            self.missed[name] += 1
        self.network.heal()

    def broker_away(self, number: signal.Signals) -> None:
        """One of the brokers is ended and started again."""
        broker = self.random.choice(self.brokers)
        broker.end(number)
        self.work_on(0.1, 3 if len(self.brokers) == 1 else 15)
        broker.start_again()

    def stop_and_go(self, names: Iterable[str], seconds: float) -> None:
        """SIGSTOP, and SIGCONT."""
        processes = [self.crew.running[name].popen for name in names]
        for process in processes:
            stop(process)
        self.crew.wait(seconds)
        for process in processes:
            process.send_signal(signal.SIGCONT)


def kill(scene: Scene) -> None:
    """Signal 9, 0.2 to 6 s after it got work, and started again under its name."""
    name = scene.victim()
    scene.work_on(0.2, 6.0)
    if name in scene.crew.running:
        scene.crew.kill(name)
        scene.killed += 1
    scene.crew.start(name)
    # Most of the time it gets its work before the next fault, else that one hits a group that is rebalancing.
    if scene.random.random() < 0.7:
        scene.crew.wait(WORK_S, lambda: scene.crew.has_work(name))


def zombie(scene: Scene) -> None:
    """A worker sleeps through its session and wakes."""
    name = scene.victim()
    scene.stop_and_go([name], 2 * SESSION_S)
    scene.crew.wait(2)


def rolling(scene: Scene) -> None:
    """Each worker is ended by SIGTERM and started again."""
    for name in sorted(scene.crew.running):
        scene.crew.terminate(name)
        scene.crew.start(name)
        scene.crew.wait(WORK_S, lambda name=name: scene.crew.has_work(name))  # type: ignore[misc]


def scale(scene: Scene) -> None:
    """One worker, then four, then two, then as many as before."""
    for name in NORMAL[1:]:
        scene.crew.terminate(name)
    scene.work_on(1, 4)
    for name in (*NORMAL[1:], "d"):
        scene.crew.start(name)
    scene.crew.wait(WORK_S, lambda: scene.crew.has_work("d"))
    scene.work_on(0.5, 3)
    for name in ("a", "d"):
        scene.crew.terminate(name)
    scene.work_on(1, 4)
    scene.crew.start("a")


def broker_stop(scene: Scene) -> None:
    """The broker is ended by SIGTERM and started again."""
    scene.broker_away(signal.SIGTERM)


def broker_kill(scene: Scene) -> None:
    """The broker is killed and started again on what it has written."""
    scene.broker_away(signal.SIGKILL)


def transaction_timeout(scene: Scene) -> None:
    """Workers sleep in the middle of a commit for longer than a transaction may last, and not their sessions."""
    api = scene.random.choice((ADD_OFFSETS, TXN_OFFSET_COMMIT, END_TXN))
    scene.victim()
    before = scene.network.requests[api]
    # Held back by the network for so long that one is found waiting for the answer.
    scene.network.each(lambda proxy: proxy.delay(TRANSACTION_S / 2, api))
    if not scene.crew.wait(HIT_S, lambda: scene.network.requests[api] > before):
        scene.missed["transaction_timeout"] += 1
    scene.stop_and_go(list(scene.crew.running), TRANSACTION_S + LOOK_S + 0.5)
    scene.network.heal()


def end_txn_delay(scene: Scene) -> None:
    """Commits and aborts reach the broker late: sometimes in time, sometimes after the transaction's."""
    seconds = scene.random.choice((TRANSACTION_S / 3, TRANSACTION_S * 2))
    scene.break_network("delay", lambda proxy: proxy.delay(seconds, END_TXN), 3, 6)


def delay(scene: Scene) -> None:
    """All requests are late."""
    seconds = scene.random.uniform(0.05, 0.8)
    scene.break_network("delay", lambda proxy: proxy.delay(seconds))


def drop(scene: Scene) -> None:
    """Requests and answers vanish."""
    share = scene.random.choice((0.02, 0.2))
    scene.break_network("drop", lambda proxy: proxy.drop(share))


def reset(scene: Scene) -> None:
    """Connections break in the middle of a frame."""
    share = scene.random.choice((0.02, 0.1, 0.5))
    scene.break_network("reset", lambda proxy: proxy.reset(share))


def reset_all(scene: Scene) -> None:
    """All connections break at once."""
    scene.victim()
    scene.network.each(Proxy.reset_all)


def half_open(scene: Scene) -> None:
    """Connections stay, and nothing comes through."""
    scene.break_network("half_open", Proxy.half_open, 0.5, 3)


def throttle(scene: Scene) -> None:
    """A slow line."""
    rate = scene.random.choice((20_000, 200_000))
    scene.break_network("throttle", lambda proxy: proxy.throttle(rate), 2, 6)


def duplicate(scene: Scene) -> None:
    """The end of a transaction comes late, and again after its connection broke."""
    seconds = scene.random.uniform(0.1, TRANSACTION_S * 2)
    name = "duplicate_after_reset"
    scene.break_network(name, lambda proxy: proxy.duplicate_after_reset(END_TXN, seconds), 1, 4)


OTHERS: tuple[Callable[[Scene], None], ...] = (
    zombie, rolling, scale, broker_stop, broker_kill, transaction_timeout, end_txn_delay,
    delay, drop, reset, reset_all, half_open, throttle, duplicate,
)  # fmt: skip
FAULTS = {fault.__name__: fault for fault in (kill, *OTHERS)}


def order(random: Random, kills: int, others: int) -> list[Callable[[Scene], None]]:
    """So many kills, and each of the others so often, in any order."""
    faults = [kill] * kills + list(OTHERS) * others
    random.shuffle(faults)
    return faults
