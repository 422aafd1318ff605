"""What the proxy does with a connection: `Faults` says what goes wrong, a `Link` passes frames on accordingly."""

import asyncio
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from random import Random

HOST = "127.0.0.1"
_PIECE = 1 << 14
_ANSWER_S = 5


class Faults:
    """Which faults there are now, and how many took place. Apis are Kafka's numbers; None is all others."""

    def __init__(self, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.requests: Counter[int] = Counter()
        self.delays: dict[int | None, float] = {}
        self.drops: dict[tuple[bool, int | None], float] = {}
        self.duplicates: defaultdict[int, list[float]] = defaultdict(list)
        self.reset_probability = 0.0
        self.rate: int | None = None
        self.is_half_open = False
        self._random = Random(seed)  # noqa: S311 (a schedule, not a secret)
        self._line_free_at = 0.0

    def heal(self) -> None:
        """None from now on."""
        for faults in (self.delays, self.drops, self.duplicates):
            faults.clear()
        self.reset_probability, self.rate, self.is_half_open = 0.0, None, False

    def take_duplicate(self, api: int) -> float | None:
        """How long to hold back this request, whose connection is to be reset; None: not this one."""
        return self.duplicates[api].pop(0) if self.duplicates[api] else None

    def delay_of(self, api: int) -> float:
        """How long to hold back this request."""
        seconds = self.delays.get(api, self.delays.get(None, 0.0))
        if seconds:
            self.counts["delay"] += 1
        return seconds

    def is_to_vanish(self, api: int | None, *, is_request: bool) -> bool:
        """Whether the frame is dropped."""
        probability = self.drops.get((is_request, api), self.drops.get((is_request, None), 0.0))
        found = self._random.random() < probability
        if found:
            self.counts["drop"] += 1
        return found

    def is_to_break(self) -> bool:
        """Whether the connection is reset in the middle of the frame."""
        found = self._random.random() < self.reset_probability
        if found:
            self.counts["reset"] += 1
        return found

    async def write(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        """Pass a frame on, no faster than the line allows."""
        with suppress(OSError):
            for start in range(0, len(frame), _PIECE if self.rate else len(frame)):
                if self.rate is not None:
                    self.counts["throttle"] += 1
                    now = asyncio.get_running_loop().time()
                    self._line_free_at = max(now, self._line_free_at) + min(_PIECE, len(frame) - start) / self.rate
                    await asyncio.sleep(self._line_free_at - now)
                    writer.write(frame[start : start + _PIECE])
                else:
                    writer.write(frame[start:])
                    break
            await writer.drain()


class Link:
    """A client's connection, and the one to the broker that belongs to it."""

    def __init__(
        self, target_port: int, faults: Faults, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._target_port, self._faults, self._reader, self._writer = target_port, faults, reader, writer
        self._upstream: asyncio.StreamWriter | None = None
        self._held: asyncio.Queue[tuple[float, bytes, str | None]] = asyncio.Queue()
        self._unanswered: dict[int, int] = {}
        self._is_answered = asyncio.Condition()
        self._is_reset = asyncio.Event()
        self.is_dead = faults.is_half_open

    async def run(self) -> None:
        """Until either side has gone, and what the client had sent has been sent on."""
        tasks: list[asyncio.Task[None]] = []
        try:
            responses, self._upstream = await asyncio.open_connection(HOST, self._target_port, limit=1 << 20)
            answering = asyncio.create_task(self._answer(responses, self._writer))
            asking = asyncio.create_task(self._ask(self._upstream))
            tasks = [answering, asking, asyncio.create_task(self._send(self._upstream))]
            await asyncio.wait({answering, asking}, return_when=asyncio.FIRST_COMPLETED)
            if self.is_dead:
                await self._is_reset.wait()
            elif not answering.done():
                tasks.append(asyncio.create_task(self._sent_on()))
                await asyncio.wait({answering, tasks[-1]}, return_when=asyncio.FIRST_COMPLETED)
        except OSError:
            pass  # the broker is away, as the client now learns
        finally:
            for task in tasks:
                task.cancel()
            if self._upstream is not None:
                self._upstream.close()
            _reset(self._writer)

    def reset(self) -> None:
        """End both connections with RST instead of an orderly end."""
        self._is_reset.set()
        for writer in (self._writer, self._upstream):
            if writer is not None:
                _reset(writer)

    async def _ask(self, upstream: asyncio.StreamWriter) -> None:
        """What the client sends, each frame with the time at which it may go on."""
        now, faults = asyncio.get_running_loop().time, self._faults
        async for frame in _frames(self._reader):
            api, _, correlation = struct.unpack_from(">hhi", frame, 4)
            faults.requests[api] += 1
            if self.is_dead:
                faults.counts["half_open"] += 1
            elif faults.is_to_break():
                await self._break(upstream, frame)
            elif not faults.is_to_vanish(api, is_request=True):
                self._unanswered[correlation] = api
                duplicate_s = faults.take_duplicate(api)
                if duplicate_s is not None:
                    faults.counts["held"] += 1
                    self._held.put_nowait((now() + duplicate_s, frame, "duplicate_after_reset"))
                    _reset(self._writer)
                    return
                self._held.put_nowait((now() + faults.delay_of(api), frame, None))

    async def _send(self, upstream: asyncio.StreamWriter) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, frame, name = await self._held.get()
            await asyncio.sleep(due - now())
            if not self.is_dead and not self._is_reset.is_set():
                await self._faults.write(upstream, frame)
                if name is not None:
                    self._faults.counts[name] += 1
            self._held.task_done()

    async def _answer(self, responses: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        async for frame in _frames(responses):
            api = self._unanswered.pop(int.from_bytes(frame[4:8], signed=True), None)
            async with self._is_answered:
                self._is_answered.notify_all()
            if self.is_dead:
                self._faults.counts["half_open"] += 1
            elif client.transport.is_closing():
                continue
            elif self._faults.is_to_break():
                await self._break(client, frame)
            elif not self._faults.is_to_vanish(api, is_request=False):
                await self._faults.write(client, frame)

    async def _break(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        self._is_reset.set()
        writer.write(frame[: len(frame) // 2])
        await asyncio.sleep(0.01)  # or the reset would overtake it
        self.reset()

    async def _sent_on(self) -> None:
        """All that the client sent before it went has reached the broker, and was answered there."""
        await self._held.join()
        with suppress(TimeoutError):
            async with asyncio.timeout(_ANSWER_S), self._is_answered:
                await self._is_answered.wait_for(lambda: not self._unanswered)


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Whole frames, with their length, until the connection ends in whatever way."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            length = await reader.readexactly(4)
            yield length + await reader.readexactly(int.from_bytes(length))


def _reset(writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
