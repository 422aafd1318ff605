"""Which alerts of one partition may be delivered now, and how far that may be committed.

Theory of operation. Alerts of one episode are delivered in their order, those of different episodes side by side, so
what is settled is not one prefix of the partition. The committed offset is the first that is not settled, and the note
beside it names what is settled beyond: after a restart none of that is delivered again. The note holds the IDs of the
latest alerts as well, so that one which stands on the topic a second time, as after a worker's group was begun anew, is
not delivered twice either. What was delivered when its process was killed, before the commit, is: nobody could know.

A note has only so much room. Where there is no more, nothing is read, and of what was read only the first alert may be
begun: once that is settled the commit moves on, and what was settled behind it need not be noted any longer.
"""

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson

from streamguard.core.ranges import Ranges

_VERSION = 2
# Of commit metadata, on a broker with its default settings.
_NOTE_BYTES_MAX = 4096
_LATEST = 200
_ID = re.compile("[0-9a-f]{32}")
_MARK_DIGITS = 10
# In the note, with its quotes and a comma.
_MARK_BYTES = _MARK_DIGITS + 3
_WAITING_MAX = 1000


@dataclass(slots=True)
class Entry:
    """An alert that is not settled."""

    offset: int
    episode: str
    alert_id: str


@dataclass(slots=True)
class Deliveries:
    """One partition of the alerts topic, as one handler goes along it."""

    position: int
    """The next offset to be read."""
    _beyond: Ranges = field(default_factory=Ranges)
    """Settled, though something before it is not; with the offsets between that hold no alert."""
    _latest: deque[str] = field(default_factory=lambda: deque(maxlen=_LATEST))
    _waiting: dict[int, Entry] = field(default_factory=dict)
    """By offset, in order."""
    _busy: set[str] = field(default_factory=set)
    """Episodes of which something is being delivered."""

    @staticmethod
    def restored(offset: int, note: str) -> "Deliveries":
        """From what was committed; raises `ValueError`, `KeyError` or `TypeError` for a note that is not ours."""
        if not note:
            return Deliveries(offset)
        found = orjson.loads(note)
        if found["v"] != _VERSION:
            raise ValueError(f"a note of version {_VERSION} expected, got {found['v']!r}")
        return Deliveries(offset, Ranges(offset, found["beyond"]), deque(found["latest"], _LATEST))

    @property
    def committed(self) -> int:
        """The first offset that is not settled."""
        return next(iter(self._waiting), self.position)

    def note(self) -> str:
        """What to commit beside that; of the latest IDs only as many as there is room for."""
        beyond, latest = list(self._beyond.lengths(self.committed)), list(self._latest)
        excess = len(_note(beyond, latest)) - _NOTE_BYTES_MAX
        return _note(beyond, latest[-(-excess // _MARK_BYTES) :] if excess > 0 else latest).decode()

    @property
    def is_full(self) -> bool:
        """Whether more must wait on the topic: the note might not tell of it, or too much is held."""
        # One range for what is read next, and one for what lies between that and the alert before it.
        return len(self._waiting) >= _WAITING_MAX or (self._is_news and self._room() < 2)

    @property
    def is_half_empty(self) -> bool:
        """Whether so much is settled that reading on is worth it, after it was full."""
        has_room = not self._is_news or self._bytes() <= _BEYOND_BYTES_MAX // 2
        return has_room and len(self._waiting) <= _WAITING_MAX // 2

    def add(self, offset: int, episode: str, alert_id: str, *, is_wanted: bool) -> bool:
        """Take the next alert; returns whether it is to be delivered."""
        is_settled = not is_wanted or offset in self._beyond or self._is_known(alert_id)
        if is_settled:
            self.skip(offset + 1)
        else:
            self.skip(offset)
            self._waiting[offset] = Entry(offset, episode, alert_id)
            self.position = offset + 1
        return not is_settled

    def skip(self, position: int) -> None:
        """There is nothing up to this position: markers, records that are no alerts."""
        self._beyond.add(self.position, position)
        self.position = max(self.position, position)
        self._beyond.forget(self.committed)

    def ready(self, most: int) -> list[int]:
        """Up to so many alerts that may be begun, the oldest first: of each episode the first, if none is under way."""
        found: list[int] = []
        seen = set(self._busy)
        first, room = self.committed, self._room()
        for offset, entry in self._waiting.items():
            if len(found) >= most or (offset != first and len(found) >= room):
                break
            if entry.episode not in seen:
                seen.add(entry.episode)
                found.append(offset)
        return found

    def begin(self, offset: int) -> None:
        """It is being delivered."""
        self._busy.add(self._waiting[offset].episode)

    def leave(self, offsets: list[int]) -> None:
        """They were begun, and are to be delivered all the same."""
        self._busy -= {self._waiting[offset].episode for offset in offsets}

    def settle(self, offset: int) -> None:
        """It was delivered, or is a dead letter."""
        entry = self._waiting.pop(offset)
        self._busy.discard(entry.episode)
        self._latest.append(_mark(entry.alert_id))
        self._beyond.add(offset, offset + 1)
        self._beyond.forget(self.committed)

    @property
    def waiting(self) -> list[int]:
        """The offsets of all that is not settled, in order."""
        return list(self._waiting)

    @property
    def _is_news(self) -> bool:
        """Whether the note says nothing yet of what is read next; after a restart it does, up to where it was."""
        return self.position >= self._beyond.end

    def _is_known(self, alert_id: str) -> bool:
        return _mark(alert_id) in self._latest or any(each.alert_id == alert_id for each in self._waiting.values())

    def _bytes(self) -> int:
        return len(orjson.dumps(list(self._beyond.lengths(self.committed))))

    def _room(self) -> int:
        """How many ranges more the note could name, whatever comes of what is under way; below 0: too few for that."""
        # A range of one parts a gap in two: a digit, two commas, and another gap.
        per_range = 3 + len(str(self.position - self.committed))
        return (_BEYOND_BYTES_MAX - self._bytes()) // per_range - len(self._busy)


def _note(beyond: Sequence[int], latest: Sequence[str]) -> bytes:
    return orjson.dumps({"v": _VERSION, "beyond": beyond, "latest": latest})


def _mark(alert_id: str) -> str:
    """Ten hexadecimal digits by which an ID is known again: its first, or where it is none of ours, of a hash."""
    if _ID.fullmatch(alert_id):
        return alert_id[:_MARK_DIGITS]
    return blake2b(alert_id.encode(), digest_size=_MARK_DIGITS // 2).hexdigest()


# With all of the latest IDs; `[]` counts as part of what is beyond.
_BEYOND_BYTES_MAX = _NOTE_BYTES_MAX - len(_note([], [])) + 2 - _LATEST * _MARK_BYTES
