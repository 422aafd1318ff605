"""A network that misbehaves on demand: a TCP proxy between Kafka's clients and the broker.

It splits what passes into Kafka's frames, so that a fault can be aimed at one api, by its number in Kafka's
protocol. It runs on a thread of its own; tests call it from theirs.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from threading import Thread
from typing import Self

from tests.integration.broker import free_port, running
from tests.integration.link import HOST, Faults, Link

PRODUCE, FETCH, JOIN_GROUP, HEARTBEAT = 0, 1, 11, 12
INIT_PRODUCER_ID, ADD_PARTITIONS, ADD_OFFSETS, END_TXN, TXN_OFFSET_COMMIT = 22, 24, 25, 26, 28


class Proxy:
    """Listens on `port`, passes everything on to `target_port`, and does harm where told to.

    `requests` counts what clients sent, by api; `counts` the faults that took place, by the method that asked for
    them. What was held back still reaches the broker after its client has gone, as on a slow network.
    """

    def __init__(self, target_port: int, *, port: int = 0, seed: int = 0) -> None:
        self.target_port, self.port = target_port, port
        self._faults = Faults(seed)
        self.counts, self.requests = self._faults.counts, self._faults.requests
        self._links: dict[Link, asyncio.Task[None]] = {}
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        starting = asyncio.start_server(self._accept, HOST, self.port, limit=1 << 20)
        try:
            self._server = asyncio.run_coroutine_threadsafe(starting, self._loop).result(10)
        except OSError:
            self._stop()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._stop()

    def delay(self, seconds: float, api: int | None = None) -> None:
        """Forward each request of that api, else of all, so much later; those behind it on its connection wait too."""
        self._do(lambda: self._faults.delays.update({api: seconds}))

    def drop(self, probability: float, api: int | None = None, *, only: str | None = None) -> None:
        """Let frames of that api, else of all, vanish: requests and responses, or `only` the "request"s, say."""
        kinds = {"request": (True,), "response": (False,), None: (True, False)}[only]
        self._do(lambda: self._faults.drops.update({(is_request, api): probability for is_request in kinds}))

    def reset(self, probability: float) -> None:
        """Reset connections in the middle of a frame."""
        self._do(lambda: setattr(self._faults, "reset_probability", probability))

    def half_open(self) -> None:
        """Swallow all that comes on any connection, also on those made until `heal`, for ever, and close none."""

        def begin() -> None:
            self._faults.is_half_open = True
            for link in self._links:
                link.is_dead = True

        self._do(begin)

    def throttle(self, bytes_per_second: int) -> None:
        """Let no more than that pass, both directions and all connections together."""
        self._do(lambda: setattr(self._faults, "rate", bytes_per_second))

    def reset_all(self) -> None:
        """Reset every connection now. What was held back on them is lost."""

        def reset() -> None:
            for link in list(self._links):
                self.counts["reset_all"] += 1
                link.reset()

        self._do(reset)

    def duplicate_after_reset(self, api: int, delay_s: float) -> None:
        """Have the next request of that api arrive late, and twice if its client tries again.

        The client's connection is reset at once; the broker sees this request `delay_s` later.
        """
        self._do(lambda: self._faults.duplicates[api].append(delay_s))

    def heal(self) -> None:
        """No faults for what comes from now on. What is held back goes on; what was half open stays dead."""
        self._do(self._faults.heal)

    def _do(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = Link(self.target_port, self._faults, reader, writer)
        task = self._links[link] = self._loop.create_task(link.run())
        task.add_done_callback(lambda _: self._links.pop(link))

    async def _end(self) -> None:
        self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


def proxied(port: int, listener: int, proxy: Proxy, controller_port: int | None = None) -> dict[str, str]:
    """The properties of a broker on `port` that has clients who come by the proxy stay with it."""
    controller = f"{HOST}:{free_port() if controller_port is None else controller_port}"
    return {
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:{listener},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{port},PROXIED://{HOST}:{proxy.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
    }


@contextmanager
def proxied_broker(directory: Path) -> Iterator[tuple[str, str, Proxy, Popen[bytes]]]:
    """A broker, and a proxy before it: its address, its address by the proxy, the proxy, its process.

    To start it again after it was ended: `running(directory, port=..., properties=proxied(...))`, with the port of
    its address and the proxy's `target_port`.
    """
    port, listener = free_port(), free_port()
    with Proxy(listener) as proxy, running(directory, port=port, properties=proxied(port, listener, proxy)) as broker:
        direct, process = broker
        yield direct, f"{HOST}:{proxy.port}", proxy, process
