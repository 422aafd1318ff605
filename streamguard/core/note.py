"""What stands beside a committed offset: how a join task becomes again what it was there."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from streamguard.core.waiting import NEVER

_VERSION = 1


@dataclass(frozen=True, slots=True)
class Note:
    """What stands beside a committed offset: how to be again what the task was there."""

    low: int
    clock_ms: int
    """The largest event time of the records before `low`."""
    floors: tuple[tuple[int, int], ...] = ()
    """Recorded idle advances: from this offset on the clock is at least so."""
    counts: dict[str, int] = field(default_factory=dict)
    sequence: int = 0
    watermark_ms: int = NEVER
    rules: tuple[int, ...] = ()
    """The window and disorder that the state follows from; it cannot go on under others."""
    arrivals: tuple[int, int] | None = None
    """Where arrivals are counted: their clock, and the lag, at the commit itself."""

    def encode(self) -> str:
        """As text for the commit."""
        note = {
            "v": _VERSION,
            "low": self.low,
            "clock": self.clock_ms,
            "floors": self.floors,
            "counts": self.counts,
            "seq": self.sequence,
            "watermark": self.watermark_ms,
            "rules": self.rules,
        }
        if self.arrivals is not None:
            note["arrivals"] = self.arrivals
        return orjson.dumps(note).decode()

    @staticmethod
    def decode(text: str) -> "Note":
        """From a commit's text; raises `ValueError` where streamguard did not write it."""
        found: Any = orjson.loads(text)
        if type(found) is not dict or found.get("v") != _VERSION:
            raise ValueError(f"commit metadata of version {_VERSION} expected, got {text[:80]!r}")
        arrivals = found.get("arrivals")
        return Note(
            found["low"],
            found["clock"],
            tuple((offset, clock_ms) for offset, clock_ms in found["floors"]),
            found["counts"],
            found["seq"],
            found["watermark"],
            tuple(found["rules"]),
            None if arrivals is None else (arrivals[0], arrivals[1]),
        )
