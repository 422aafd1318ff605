"""Several questions at once, none of which may be waited for longer than said: a name look-up cannot be broken off."""

import threading
import time
from collections.abc import Callable, Mapping
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Asked(Generic[T]):
    """Questions on threads of their own, by name; threads that do not come back end with the process."""

    def __init__(self, questions: Mapping[str, Callable[[], T]]) -> None:
        self._told: SimpleQueue[tuple[str, T | None, BaseException | None]] = SimpleQueue()
        self._left = set(questions)
        for name, question in questions.items():
            threading.Thread(target=self._ask, args=(name, question), name=f"doctor-{name}", daemon=True).start()

    def _ask(self, name: str, question: Callable[[], T]) -> None:
        try:
            self._told.put((name, question(), None))
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            self._told.put((name, None, error))

    def answers(self, until_s: float) -> dict[str, T | BaseException]:
        """What was answered, or raised, until a time of the monotonic clock; the others are left out."""
        found: dict[str, T | BaseException] = {}
        while self._left:
            try:
                name, answer, error = self._told.get(timeout=max(0.0, until_s - time.monotonic()))
            except Empty:
                break
            self._left.discard(name)
            found[name] = answer if error is None else error  # type: ignore[assignment]
        return found


def within(seconds: float, question: Callable[[], T]) -> T:
    """An answer, in time; raises what the question raises, and `TimeoutError`."""
    answer = Asked({"one": question}).answers(time.monotonic() + seconds).get("one")
    if answer is None:
        raise TimeoutError(f"no answer within {seconds:g} s")
    if isinstance(answer, BaseException):
        raise answer
    return answer
