"""Which alerts of one partition may be delivered now, and how far that may be committed.

Theory of operation. Alerts of one episode are delivered in their order, those of different episodes side by side, so
what is settled is not one prefix of the partition. The committed offset is the first that is not settled, and the note
beside it names what is settled beyond: after a restart none of that is delivered again. The note holds the IDs of the
latest alerts as well, so that one which stands on the topic a second time, as after a worker's group was begun anew, is
not delivered twice either. What was delivered when its process was killed, before the commit, is: nobody could know.
"""

import re
from collections import deque
from dataclasses import dataclass, field
from hashlib import blake2b

import orjson

_VERSION = 1
# Commit metadata may hold 4,096 bytes: 200 IDs take 2,600 of them, and an offset at most nine.
_LATEST = 200
_BEYOND_MAX = 120
_MARK = re.compile("[0-9a-f]{10}")
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
    _beyond: set[int] = field(default_factory=set)
    """Settled, though something before it is not."""
    _latest: deque[str] = field(default_factory=lambda: deque(maxlen=_LATEST))
    _waiting: dict[int, Entry] = field(default_factory=dict)
    """By offset, in order."""
    _busy: set[str] = field(default_factory=set)
    """Episodes of which something is being delivered."""

    @staticmethod
    def restored(offset: int, note: str) -> "Deliveries":
        """From what was committed; raises `ValueError` for a note that is not ours."""
        if not note:
            return Deliveries(offset)
        found = orjson.loads(note)
        if found["v"] != _VERSION:
            raise ValueError(f"a note of version {_VERSION} expected, got {found['v']!r}")
        latest = deque(found["latest"], _LATEST)
        return Deliveries(offset, {offset + each for each in found["beyond"]}, latest)

    @property
    def committed(self) -> int:
        """The first offset that is not settled."""
        return next(iter(self._waiting), self.position)

    def note(self) -> str:
        """What to commit beside that."""
        offset = self.committed
        beyond = sorted(each - offset for each in self._beyond if each > offset)
        return orjson.dumps({"v": _VERSION, "beyond": beyond, "latest": list(self._latest)}).decode()

    @property
    def is_full(self) -> bool:
        """Whether more must wait on the topic: the note could not tell of it, or too much is held."""
        return len(self._beyond) >= _BEYOND_MAX or len(self._waiting) >= _WAITING_MAX

    def add(self, offset: int, episode: str, alert_id: str, *, is_wanted: bool) -> bool:
        """Take the next alert; returns whether it is to be delivered."""
        self.position = offset + 1
        is_repeated = _mark(alert_id) in self._latest or any(
            each.alert_id == alert_id for each in self._waiting.values()
        )
        if offset in self._beyond or is_repeated or not is_wanted:
            self._beyond.add(offset)
            self._prune()
            return False
        self._waiting[offset] = Entry(offset, episode, alert_id)
        return True

    def skip(self, position: int) -> None:
        """There is nothing up to this position: markers, records that are no alerts."""
        self.position = max(self.position, position)

    def ready(self, most: int) -> list[int]:
        """Up to so many alerts that may be begun, the oldest first: of each episode the first, if none is under way."""
        found: list[int] = []
        seen = set(self._busy)
        for offset, entry in self._waiting.items():
            if len(found) >= most:
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
        self._beyond.add(offset)
        self._latest.append(_mark(entry.alert_id))
        self._prune()

    @property
    def waiting(self) -> list[int]:
        """The offsets of all that is not settled, in order."""
        return list(self._waiting)

    def _prune(self) -> None:
        offset = self.committed
        self._beyond = {each for each in self._beyond if each > offset}


def _mark(alert_id: str) -> str:
    """Ten hexadecimal digits by which an ID is known again: its first, or where it is none of ours, of a hash."""
    found = _MARK.match(alert_id)
    return found[0] if found else blake2b(alert_id.encode(), digest_size=5).hexdigest()
