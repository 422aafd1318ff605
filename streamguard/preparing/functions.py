"""A team's own function as a step of preparation.

It runs in a process of its own, which is killed when one value takes too long: a regular expression that backtracks for
ever holds Python's lock, and nothing in the same process ends it. That process answers with one byte for each value, as
soon as it has it, so that the first value without an answer is the one that it hangs at.
"""

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np

from streamguard.core.features.fates import FAILED, NOT_MINE, Fates, StepFailedError
from streamguard.core.features.traits import Traits
from streamguard.errors import ConfigError, StreamguardError
from streamguard.preparing.serving import FATES, RESULT, read, serve
from streamguard.processes import Child, ProcessEndedError, SilentError

# To import whatever the function needs.
_START_S = 30.0
_IN_A_ROW_MAX = 3
# So many processes may be lost over time, and one more for each thousand values.
_LOST_MAX = 10
_VALUES_PER_LOST = 1000
# A message that fits into a pipe in which nothing is: to send it takes no waiting for who reads it.
_FITS = 1 << 15
_ANSWER_MAX = 1 << 16


class OwnFunction:
    """A function by its path, `package.module:name`; it is given a value, never None, and returns the prepared one.

    The process starts with the first value, and ends with `close`, or with this process. After three values in a row at
    which it was lost, or more than ten and one in a thousand, the function is called no more. For one thread at a time;
    a copy by pickle has a process of its own.
    """

    def __init__(self, path: str, time_limit_s: float = 1.0) -> None:
        self._path = path
        self._time_limit_s = time_limit_s
        self._running: Child | None = None
        self._lost_in_a_row = 0
        self.is_given_up = False
        """Every further value is FAILED without a call."""
        self.called = 0
        """Values that it has answered for."""
        self.failed = 0
        """Values whose fate is FAILED, those without a call included."""
        self.lost = 0
        """Processes that took too long, or died."""
        self.last_error: str | None = None
        """Why the last value failed."""

    def __reduce__(self) -> tuple[type["OwnFunction"], tuple[str, float]]:
        return OwnFunction, (self._path, self._time_limit_s)

    def __repr__(self) -> str:
        return f"OwnFunction({self._path!r}, {self._time_limit_s!r})"

    @property
    def name(self) -> str:
        return self._path

    def check(self) -> None:
        """Start its process. Raises `ConfigError` where the function cannot be imported there."""
        way_out = "mend it, or take the step out"
        try:
            self._child()
        except SilentError:
            raise ConfigError(
                f"function {self._path!r}: importing it takes more than {_START_S:g} s; {way_out}"
            ) from None
        except ProcessEndedError:
            raise ConfigError(f"function {self._path!r}: importing it ends the process; {way_out}") from None

    def fates(self, values: Sequence[Any], _: Traits | None = None) -> Fates:
        """As of every step; a value that is not given back as it was is CHANGED."""
        found = np.full(len(values), FAILED, np.int8)
        found[[each is None for each in values]] = NOT_MINE
        packed = [(place, data) for place, each in enumerate(values) if each is not None and (data := _packed(each))]
        places = [place for place, _ in packed]
        at = 0
        while at < len(packed) and not self.is_given_up:
            told, was_begun = self._told([data for _, data in packed[at:]])
            found[places[at : at + len(told)]] = list(told)
            at += len(told)
            # That at which it was lost.
            at += was_begun and at < len(packed)
        self.failed += int(np.count_nonzero(found == FAILED))
        return found

    def applied(self, value: Any) -> Any:
        """What the function makes of a value; of None it is None. Raises `StepFailedError`."""
        if value is None:
            return None
        data = _packed(value)
        if self.is_given_up or data is None:
            raise self._failure()
        try:
            child = self._begun(RESULT, [data])
            is_made, answer = child.hear(self._time_limit_s)
        except StreamguardError as error:
            self._lose(error)
            raise self._failure() from None
        except BaseException:
            self.close()
            raise
        self.called += 1
        self._lost_in_a_row = 0
        if not is_made:
            self.last_error = answer
            raise self._failure()
        return read(answer)

    def close(self) -> None:
        """End its process; another starts if there is a further value."""
        child, self._running = self._running, None
        if child is not None:
            child.close()

    def _child(self) -> Child:
        """Its process, which is started unless it runs."""
        if self._running is None:
            try:
                self._running = Child(serve, self._path, self._time_limit_s)
            except OSError as error:
                raise ProcessEndedError(f"a process for {self._path!r} cannot be started: {error}") from None
            try:
                self._running.hear(_START_S)
            except BaseException:
                self.close()
                raise
        return self._running

    def _begun(self, task: str, packed: list[bytes]) -> Child:
        """Its process, which has all that it needs for the answers."""
        child = self._child()
        data = pickle.dumps((task, packed))
        for start in range(0, len(data), _FITS):
            child.tell(start + _FITS >= len(data), data[start : start + _FITS])
            child.hear_bytes(1, _START_S)
        return child

    def _told(self, packed: list[bytes]) -> tuple[bytes, bool]:
        """Fates of values from the first on: all, or up to that at which its process was lost; and whether it began."""
        told = bytearray()
        was_begun = False
        try:
            child = self._begun(FATES, packed)
            was_begun = True
            while len(told) < len(packed):
                told += child.hear_bytes(min(len(packed) - len(told), _ANSWER_MAX), self._time_limit_s)
            self.last_error = child.hear(_START_S) or self.last_error
        except StreamguardError as error:
            self._count(told)
            self._lose(error)
        except BaseException:
            # Answers that nobody waits for any more would be taken for those to come.
            self.close()
            raise
        else:
            self._count(told)
        return bytes(told), was_begun

    def _count(self, told: bytearray) -> None:
        self.called += len(told)
        if told:
            self._lost_in_a_row = 0

    def _lose(self, error: StreamguardError) -> None:
        self.close()
        self.lost += 1
        self._lost_in_a_row += 1
        allowed = _LOST_MAX + self.called // _VALUES_PER_LOST
        # What cannot be imported will not be at the next try.
        self.is_given_up = isinstance(error, ConfigError) or self._lost_in_a_row >= _IN_A_ROW_MAX or self.lost > allowed
        is_slow = isinstance(error, SilentError)
        ended = isinstance(error, ProcessEndedError)
        words = f"took more than {self._time_limit_s:g} s" if is_slow else "ended its process" if ended else str(error)
        self.last_error = words

    def _failure(self) -> StepFailedError:
        return StepFailedError(f"function {self._path!r}: {self.last_error or 'it cannot be given the value'}")


def _packed(value: Any) -> bytes | None:
    """None for what cannot be sent, such as what is nested too deeply."""
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 - of a value anything may come
        return None
