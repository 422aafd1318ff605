"""Brokers that can be ended and started again, each behind a proxy of its own."""

import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.broker import free_port, launched, wait_until_up
from tests.integration.link import HOST
from tests.integration.proxy import Proxy, proxied

BROKER_S = 60
LOOK_S = 2.0
"""How often Kafka looks for transactions that have timed out; ten seconds, unless it is told otherwise."""
PROPERTIES = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": f"{LOOK_S * 1000:.0f}"}


@dataclass(slots=True)
class Broker:
    """A broker as a process, on the same port and records each time."""

    address: str
    process: "subprocess.Popen[bytes]"
    output: Path

    def start_again(self) -> None:
        """Wait until it answers."""
        with self.output.open("ab") as log:
            self.process = subprocess.Popen(self.process.args, stdout=log, stderr=log)
        wait_until_up(self.address, self.process, self.output)

    def end(self, number: signal.Signals) -> None:
        """By this signal."""
        self.process.send_signal(number)
        try:
            self.process.wait(BROKER_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(slots=True)
class Network:
    """The proxies of all brokers, as one."""

    proxies: list[Proxy]

    @property
    def bootstrap(self) -> str:
        """The brokers' addresses by the proxies."""
        return ",".join(f"{HOST}:{proxy.port}" for proxy in self.proxies)

    @property
    def counts(self) -> Counter[str]:
        """How many faults of each kind took place."""
        return sum((proxy.counts for proxy in self.proxies), Counter[str]())

    @property
    def requests(self) -> Counter[int]:
        """What clients have sent, by api."""
        return sum((proxy.requests for proxy in self.proxies), Counter[int]())

    def each(self, action: Callable[[Proxy], object]) -> None:
        """The same to every proxy."""
        for proxy in self.proxies:
            action(proxy)

    def heal(self) -> None:
        """No faults from now on."""
        self.each(Proxy.heal)


@contextmanager
def behind_proxies(data: Path, count: int) -> Iterator[tuple[Network, list[Broker]]]:
    """So many brokers of one cluster; what three hold is on all of them, and two must have written it."""
    ports = [(free_port(), free_port(), free_port()) for _ in range(count)]
    voters = ",".join(f"{number}@{HOST}:{controller}" for number, (_, _, controller) in enumerate(ports, 1))
    copies, least = str(count), str(max(1, count - 1))
    common = {
        "controller.quorum.voters": voters,
        "default.replication.factor": copies,
        "min.insync.replicas": least,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": least,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": least,
    }
    with ExitStack() as stack:
        proxies, brokers = [], []
        for number, (port, listener, controller) in enumerate(ports, 1):
            proxies.append(stack.enter_context(Proxy(listener)))
            properties = proxied(port, listener, proxies[-1], controller) | common | PROPERTIES
            place = data / str(number)
            process, output = stack.enter_context(launched(place, port, properties | {"node.id": str(number)}))
            brokers.append(Broker(f"{HOST}:{port}", process, output))
            stack.callback(brokers[-1].end, signal.SIGKILL)
        for broker in brokers:
            wait_until_up(broker.address, broker.process, broker.output)
        yield Network(proxies), brokers
