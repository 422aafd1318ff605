"""The commit that goes on while its session polls and its worker steps."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol


class Aside(Protocol):
    """Something done beside the caller's work: a `concurrent.futures.Future` is one."""

    def exception(self) -> BaseException | None:
        """Wait for its end; what it has raised, if anything."""
        ...


class Commits:
    """One commit at a time. `aside` begins something beside the caller's work; `now_s` never goes back."""

    def __init__(self, aside: Callable[[Callable[[], None]], Aside], now_s: Callable[[], float]) -> None:
        self._aside = aside
        self._now_s = now_s
        self._begun: Aside | None = None
        self._took_s = 0.0

    def begin(self, commit: Callable[[], None]) -> None:
        """Let it go on; the one before must have been settled."""
        if self._begun is not None:
            raise RuntimeError("a commit was begun before the one under way was settled")

        def timed() -> None:
            began_s = self._now_s()
            commit()
            self._took_s = self._now_s() - began_s

        self._begun = self._aside(timed)

    def finish(self) -> BaseException | None:
        """Wait for the one under way, if there is one, without taking note of its end; from any thread."""
        return None if self._begun is None else self._begun.exception()

    def settle(self) -> float:
        """Wait for the one under way; raises what it has raised, else returns how many seconds it took."""
        if self._begun is None:
            return 0.0
        error = self.finish()
        self._begun = None
        if error is not None:
            raise error
        return self._took_s


class Thread:
    """Does one thing after the other, on a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "streamguard-commit")

    def aside(self, do: Callable[[], None]) -> Aside:
        """Do something while the caller goes on."""
        return self._pool.submit(do)

    def close(self) -> None:
        """Take nothing more; what is under way comes to its own end."""
        self._pool.shutdown(wait=False)
