"""Targets are called on their schedule: threads call, one thread takes the results."""

import queue
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from streamguard.probing.calling import Clock, probe
from streamguard.probing.schedule import Schedule
from streamguard.probing.target import Target

_log = structlog.get_logger("streamguard.probing")

CONCURRENCY = 8
"""Most calls at the same time; what is due meanwhile waits. Of one target there is never more than one."""

_WAIT_MS_MAX = 60_000

Tell = Callable[[dict[str, Any]], None]
"""Takes a result. It is called on the thread of `run`, so it should not wait, and what it raises ends `run`."""


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Prober:
    """Calls targets until stopped. `concurrency`: how many at the same time; `now_ms`: a time that does not go back."""

    def __init__(
        self,
        targets: Sequence[Target],
        *,
        concurrency: int = CONCURRENCY,
        clock: Clock | None = None,
        now_ms: Callable[[], int] = _monotonic_ms,
    ) -> None:
        self._targets = {each.settings.name: each for each in targets}
        self._concurrency = concurrency
        self._clock = clock or Clock()
        self._now_ms = now_ms
        self._results: queue.SimpleQueue[dict[str, Any] | BaseException | None] = queue.SimpleQueue()

    def stop(self) -> None:
        """Let `run` return, from any thread or signal handler; results of calls under way are lost."""
        self._results.put(None)

    def run(self, tell: Tell) -> None:
        """Until `stop`; then threads end within the time that their calls may take."""
        every_ms = {name: each.settings.every_ms for name, each in self._targets.items()}
        schedule = Schedule(every_ms, self._now_ms())
        under_way: set[str] = set()
        threads = ThreadPoolExecutor(self._concurrency, thread_name_prefix="probe")
        try:
            while True:
                now_ms = self._now_ms()
                for name in schedule.due(now_ms):
                    if name in under_way:
                        _log.warning("probe_skipped", target=name, reason="the call before is still under way")
                        continue
                    under_way.add(name)
                    threads.submit(self._call, self._targets[name])
                next_ms = schedule.next_ms
                wait_ms = _WAIT_MS_MAX if next_ms is None else min(max(next_ms - now_ms, 0), _WAIT_MS_MAX)
                try:
                    result = self._results.get(timeout=wait_ms / 1000)
                except queue.Empty:
                    continue
                if result is None:
                    return
                if isinstance(result, BaseException):
                    raise result
                under_way.discard(result["target"])
                tell(result)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def once(self) -> list[dict[str, Any]]:
        """Call each target once, now; results are in the order of the targets."""
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="probe") as threads:
            return list(threads.map(lambda each: probe(each, self._clock), self._targets.values()))

    def _call(self, target: Target) -> None:
        try:
            self._results.put(probe(target, self._clock))
        except BaseException as error:  # noqa: BLE001 - a bug, which the thread of `run` raises
            self._results.put(error)
