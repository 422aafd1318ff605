"""Which response belongs to which request: halves of predictions in event-time order, and what becomes of each.

What a half becomes depends on the halves of the same ID just before it, and on no others:

- A response takes the request right before it, unless that has taken an earlier response already.
- A request takes the response right before it, where that follows no request: events may overtake each other.
- `Right before` is within `pair_within_ms`, with no half of the same ID between.
- A response that can find no request any more is a prediction without features; such a request is refused.

A rule such as "whatever is still waiting" would make each pair depend on the pair before it without end where an ID is
used again and again, and no bounded part of the log would rebuild the state after a restart. Here four times
`pair_within_ms` does: what waits, and of each its three predecessors.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamguard.core.payloads.adapter import Half, Side

T = TypeVar("T")

REACH = 4
"""So many times `pair_within_ms` back lies what the state follows from."""


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A half, at its place in the order, and the record that it came in."""

    key_ms: int
    half: Half
    record: T


@dataclass(slots=True)
class _Last(Generic[T]):
    """The last half of an ID."""

    key_ms: int
    side: Side
    kept: Kept[T] | None
    """None where it is known what becomes of it."""
    is_single: bool
    """Of a response: it follows no request. Of a request: it has taken no response that came before it."""


class Pairing(Generic[T]):
    """Waiting halves by ID. `pair` is told of a response with its request or without; `refuse` of a request.

    Halves come in the order of their keys.
    """

    def __init__(
        self,
        pair_within_ms: int,
        pair: Callable[[Kept[T] | None, Kept[T]], None],
        refuse: Callable[[Kept[T], str], None],
    ) -> None:
        self.pair_within_ms = pair_within_ms
        self._pair = pair
        self._refuse = refuse
        # Both in the order of their keys: each is put at the end when it changes.
        self._last: dict[str, _Last[T]] = {}
        self._responses: dict[str, int] = {}

    @property
    def earliest_ms(self) -> int | None:
        """The key of the first response that waits; None where none does."""
        return next(iter(self._responses.values()), None)

    def waiting(self) -> Iterator[Kept[T]]:
        """What waits, earliest first."""
        return (last.kept for last in self._last.values() if last.kept is not None)

    def take(self, new: Kept[T]) -> None:
        """Take the next half."""
        name = new.half.request_id
        last = self._last.pop(name, None)
        if last is not None and new.key_ms - last.key_ms > self.pair_within_ms:
            self._give_up(name, last)
            last = None
        if new.half.side is Side.RESPONSE:
            self._last[name] = self._response(name, last, new)
        else:
            self._last[name] = self._request(name, last, new)

    def expire(self, bound_ms: int) -> None:
        """Give up what no half at `bound_ms` or later can be right after."""
        while self._last:
            name, last = next(iter(self._last.items()))
            if last.key_ms + self.pair_within_ms >= bound_ms:
                return
            del self._last[name]
            self._give_up(name, last)

    def _response(self, name: str, last: _Last[T] | None, new: Kept[T]) -> _Last[T]:
        if last is not None and last.side is Side.REQUEST:
            self._pair(last.kept if last.is_single else None, new)
            return _Last(new.key_ms, Side.RESPONSE, None, is_single=False)
        if last is not None:
            self._give_up(name, last)
        self._responses[name] = new.key_ms
        return _Last(new.key_ms, Side.RESPONSE, new, is_single=True)

    def _request(self, name: str, last: _Last[T] | None, new: Kept[T]) -> _Last[T]:
        if last is not None and last.side is Side.RESPONSE and last.kept is not None:
            del self._responses[name]
            self._pair(new, last.kept)
            return _Last(new.key_ms, Side.REQUEST, None, is_single=False)
        if last is not None and last.kept is not None:
            self._refuse(last.kept, "the request was logged again before a response was: only the last one counts")
        return _Last(new.key_ms, Side.REQUEST, new, is_single=True)

    def _give_up(self, name: str, last: _Last[T]) -> None:
        if last.kept is None:
            return
        if last.side is Side.RESPONSE:
            del self._responses[name]
            self._pair(None, last.kept)
        else:
            self._refuse(
                last.kept, f"no response to the request came within pair_within, {self.pair_within_ms} ms of event time"
            )
