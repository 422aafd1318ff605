"""Moving windows over outcomes of 0 and 1: after each, how many the window holds, and how many ones."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, Strict

Ints = NDArray[np.int64]
Bits = NDArray[np.uint8]

_PANES = 60

_Count = Annotated[int, Field(ge=0)]


class _State(BaseModel):
    """What a window remembers, in plain JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    version: Literal[1] = 1


class _CountState(_State):
    window: _Count
    count: _Count
    bits: str
    """Hexadecimal: the outcomes held, the oldest first, one bit each, padded with zeros to whole bytes."""


class _TimeState(_State):
    window_ms: _Count
    panes: list[Annotated[tuple[int, _Count, _Count], Strict(strict=False)]]
    """Number of the pane since the epoch, outcomes, ones; the oldest first."""


class Window(Protocol):
    """Counts over the most recent part of one stream; how the stream is cut into calls changes nothing."""

    def push(self, times_ms: Ints, bits: Bits) -> tuple[Ints, Ints]:
        """Take in outcomes in order; return the outcomes held, and the ones among them, after each."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return the state as plain JSON, for the constructor to go on from."""
        ...


class CountWindow:
    """The last `window` outcomes, whatever their times. Memory: a byte each; each call copies them."""

    def __init__(self, window: int, state: Mapping[str, Any] | None = None) -> None:
        self._window = window
        self._count = 0
        # Outcomes before the first count as zeros: they move out without changing the sum.
        self._bits: Bits = np.zeros(window, dtype=np.uint8)
        if state is not None:
            self._restore(_CountState.model_validate(dict(state)))
        self._ones = int(self._bits.sum())

    def push(self, times_ms: Ints, bits: Bits) -> tuple[Ints, Ints]:  # noqa: ARG002 - the other needs times
        size = len(bits)
        stream = np.concatenate((self._bits, bits))
        entering, leaving = stream[self._window :].astype(np.int64), stream[:size]
        ones = self._ones + np.cumsum(entering - leaving)
        counts = np.minimum(np.arange(self._count + 1, self._count + size + 1), self._window)
        if size:
            self._bits = stream[size:].copy()
            self._count, self._ones = int(counts[-1]), int(ones[-1])
        return counts, ones

    def snapshot(self) -> dict[str, Any]:
        held = self._bits[self._window - self._count :]
        packed = np.packbits(held).tobytes().hex()
        return _CountState(window=self._window, count=self._count, bits=packed).model_dump()

    def _restore(self, state: _CountState) -> None:
        if state.window != self._window:
            raise ValueError(f"state of a window of {state.window} outcomes, expected {self._window}")
        packed = np.frombuffer(bytes.fromhex(state.bits), dtype=np.uint8)
        if state.count > self._window or len(packed) != -(-state.count // 8):
            raise ValueError(f"state holds {len(packed)} bytes of bits for {state.count} outcomes")
        self._count = state.count
        self._bits[self._window - state.count :] = np.unpackbits(packed, count=state.count)


class TimeWindow:
    """The outcomes in (t - window_ms, t], t being the last one's time, true to within one pane.

    A pane is a sixtieth of the window, rounded up to whole milliseconds. Memory: three numbers a pane.
    """

    def __init__(self, window_ms: int, state: Mapping[str, Any] | None = None) -> None:
        self._window_ms = window_ms
        self._pane_ms = -(-window_ms // _PANES)
        self._reach = -(-window_ms // self._pane_ms)
        # Columns: number of the pane, outcomes, ones.
        self._panes: Ints = np.zeros((0, 3), dtype=np.int64)
        if state is not None:
            self._restore(_TimeState.model_validate(dict(state)))

    def push(self, times_ms: Ints, bits: Bits) -> tuple[Ints, Ints]:
        """Raise ValueError for times that go back: the caller hands on outcomes in order of event time."""
        arrived = np.column_stack((times_ms // self._pane_ms, np.ones_like(times_ms), bits.astype(np.int64)))
        rows = np.concatenate((self._panes, arrived))
        panes = rows[:, 0]
        if (panes[1:] < panes[:-1]).any() or (times_ms[1:] < times_ms[:-1]).any():
            raise ValueError("event times go back within one window's stream")
        sums = np.zeros((len(rows) + 1, 2), dtype=np.int64)
        np.cumsum(rows[:, 1:], axis=0, out=sums[1:])
        held = len(self._panes)
        first = np.searchsorted(panes, panes[held:] - self._reach, side="right")
        within = sums[held + 1 :] - sums[first]
        if len(arrived):
            self._panes = self._merged(rows[first[-1] :])
        return within[:, 0], within[:, 1]

    def snapshot(self) -> dict[str, Any]:
        rows = [tuple(row) for row in self._panes.tolist()]
        return _TimeState(window_ms=self._window_ms, panes=rows).model_dump(mode="json")

    @staticmethod
    def _merged(rows: Ints) -> Ints:
        """Sum up rows of one pane; panes are already in order."""
        panes, starts = np.unique(rows[:, 0], return_index=True)
        sums = np.add.reduceat(rows[:, 1:], starts, axis=0)
        return np.column_stack((panes, sums))

    def _restore(self, state: _TimeState) -> None:
        if state.window_ms != self._window_ms:
            raise ValueError(f"state of a window of {state.window_ms} ms, expected {self._window_ms}")
        numbers = [pane for pane, _, _ in state.panes]
        if len(numbers) > self._reach or numbers != sorted(set(numbers)):
            raise ValueError(f"state holds {len(numbers)} panes, expected at most {self._reach} in order")
        if any(ones > count for _, count, ones in state.panes):
            raise ValueError("state holds a pane with more ones than outcomes")
        self._panes = np.array(state.panes, dtype=np.int64).reshape(-1, 3)
