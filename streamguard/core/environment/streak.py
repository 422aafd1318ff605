"""So many of one kind, one after the other: what keeps a single failure from being an episode."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any


@dataclass(slots=True)
class Streak:
    """Whether something is wrong, and how many answers in a row have said the opposite since `since_ms`."""

    is_wrong: bool = False
    count: int = 0
    since_ms: int = 0

    def take(self, time_ms: int, *, is_failure: bool, fail_after: int, recover_after: int) -> bool:
        """Take an answer; returns whether `is_wrong` has turned, which it then has since `since_ms`."""
        if is_failure == self.is_wrong:
            self.count = 0
            return False
        if not self.count:
            self.since_ms = time_ms
        self.count += 1
        if self.count < (recover_after if self.is_wrong else fail_after):
            return False
        self.is_wrong, self.count = not self.is_wrong, 0
        return True

    def snapshot(self) -> list[Any]:
        """Plain JSON."""
        return list(astuple(self))

    @staticmethod
    def restored(state: Sequence[Any]) -> "Streak":
        """From a snapshot; an empty one is a new one."""
        return Streak(*state)
