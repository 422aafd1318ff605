"""Certificates: one that is about to expire is told in time, and again shortly before; a new issuer is a note."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_DAY_MS = 86_400_000
_LAST_DAYS = 3
_SOON, _LAST = 1, 2


@dataclass(frozen=True, slots=True)
class Seen:
    """What an endpoint has shown. Times in epoch milliseconds; None: not known."""

    issued_ms: int | None
    expires_ms: int
    issuer: str | None

    def stage(self, time_ms: int, days: int) -> int:
        """How near its end is: 0, 1 (within `days`, or the last third of its life) or 2 (3 days, or a tenth)."""
        left_ms = self.expires_ms - time_ms
        soon_ms, last_ms = days * _DAY_MS, min(days, _LAST_DAYS) * _DAY_MS
        if self.issued_ms is not None and self.issued_ms < self.expires_ms:
            life_ms = self.expires_ms - self.issued_ms
            soon_ms, last_ms = min(soon_ms, life_ms // 3), min(last_ms, life_ms // 10)
        return _LAST if left_ms <= last_ms else _SOON if left_ms <= soon_ms else 0


@dataclass(frozen=True, slots=True)
class Turn:
    """Something to be told: the end is near (`is_wrong`), is no longer, or `issuer_before` has another after it."""

    is_wrong: bool
    since_ms: int
    seen: Seen
    days_left: float
    issuer_before: str | None = None


class Certificates:
    """Watches those of one endpoint, behind which there may be several servers with one each."""

    def __init__(self, tls_days: int, recover_after: int, state: Mapping[str, Any] | None = None) -> None:
        self._days = tls_days
        self._recover_after = recover_after
        state = state or {}
        self._stage = int(state.get("stage", 0))
        self._good = int(state.get("good", 0))
        self._good_ms = int(state.get("good_since", 0))
        self._issuer: str | None = state.get("issuer")
        self._other = int(state.get("other", 0))

    def take(self, time_ms: int, seen: Seen) -> list[Turn]:
        """Take what an answer came with."""
        days_left = round((seen.expires_ms - time_ms) / _DAY_MS, 1)
        turns = []
        stage = seen.stage(time_ms, self._days)
        if stage > self._stage:
            self._stage = stage
            turns.append(Turn(is_wrong=True, since_ms=time_ms, seen=seen, days_left=days_left))
        if stage:
            self._good = 0
        elif self._stage:
            self._good_ms = time_ms if not self._good else self._good_ms
            self._good += 1
            if self._good >= self._recover_after:
                self._stage = self._good = 0
                turns.append(Turn(is_wrong=False, since_ms=self._good_ms, seen=seen, days_left=days_left))
        if (before := self._changed(seen.issuer)) is not None:
            turns.append(Turn(False, time_ms, seen, days_left, issuer_before=before))
        return turns

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "stage": self._stage,
            "good": self._good,
            "good_since": self._good_ms,
            "issuer": self._issuer,
            "other": self._other,
        }

    def _changed(self, issuer: str | None) -> str | None:
        """The issuer before, once another one has been there often enough."""
        if issuer is None or issuer == self._issuer:
            self._other = 0
            return None
        self._other += 1
        if self._issuer is not None and self._other < self._recover_after:
            return None
        before, self._issuer, self._other = self._issuer, issuer, 0
        return before
