"""What a reader of records finds of them by the contract: who wrote what differs, and which records are refused."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from streamguard.core.contract.checking import Check, Difference, different, is_bound
from streamguard.core.contract.fields import HARMLESS, KINDS, Contract, Field, Kind
from streamguard.core.fields import Path, Unreadable, canonical, pick

_REJECTED = int(Kind.REJECTED)
_NOT_JSON = int(Kind.TYPE)
ID_CHARS = 100
_VERSION_CHARS = 64
_WORDS = {
    Kind.MISSING: "is missing",
    Kind.NULL: "is null",
    Kind.TYPE: "is of another type",
    Kind.VALUE: "has a value that is not one of those allowed",
    Kind.RANGE: "is beyond its bounds",
    Kind.FORM: "is not of the form or length that it must have",
}


@dataclass(slots=True)
class Differences:
    """Differences of the records of a batch, as columns of equal length."""

    places: list[int] = field(default_factory=list)
    """Of the record in the batch."""
    marks: list[int] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    versions: list[str | None] = field(default_factory=list)
    """Of the model, as the record names it."""
    ids: list[str] = field(default_factory=list)
    """Request IDs; empty where there is none."""

    def add(self, place: int, differences: Sequence[Difference], version: str | None, request_id: str) -> None:
        """Those of one record."""
        for mark, shown in differences:
            self.places.append(place)
            self.marks.append(mark)
            self.shown.append(shown)
            self.versions.append(version)
            self.ids.append(request_id)


class Bounds:
    """What a contract says of request IDs and times, which differ between records that are alike in all else."""

    def __init__(self, request_id: Field | None, time: Field | None) -> None:
        self._request_id, self._time = request_id, time

    def fits(self, ids: Callable[[], Sequence[str]], times: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which records have both as the contract says; shape (records,)."""
        found = np.ones(len(times), np.bool_)
        if self._time is not None and is_bound(self._time):
            found &= np.array([different(self._time, each) is None for each in times.tolist()], np.bool_)
        if self._request_id is not None and is_bound(self._request_id):
            found &= np.array([different(self._request_id, each) is None for each in ids()], np.bool_)
        return found


class Inspector:
    """Holds parsed records of one side against a contract."""

    def __init__(
        self, contract: Contract, request_id: Path, version: Path | None = None, refused: Collection[str] = ()
    ) -> None:
        """`refused`: names of fields (dotted; "" for all) that a record may not differ in, or it is rejected."""
        self.contract = contract
        self._check = Check(contract)
        self._request_id, self._version = request_id, version
        self._refused = frozenset(
            each.number * KINDS + kind
            for each in contract.fields
            for kind in _WORDS.keys() - HARMLESS
            if _is_below(each.name, refused) and kind not in each.usual
        )

    def bounds(self, time: Path | None) -> Bounds | None:
        """What is to be looked at in each record, whatever it is like; `time`: where event times are."""
        fields = [_at(self.contract.root, path) for path in (self._request_id, time or ())]
        is_any = any(each is not None and is_bound(each) for each in fields)
        return Bounds(fields[0], fields[1]) if is_any else None

    @property
    def rules(self) -> str:
        """What of the contract decides which records are taken."""
        return repr((self.contract.fingerprint, sorted(self._refused)) if self._refused else None)

    def kept(self, document: Any) -> tuple[Difference, ...] | None:
        """What differs in a record that stands for others of its kind; None: these must be looked at one by one."""
        found = self._check.marks([document])
        if self._refused.intersection(found.numbers):
            return None
        return tuple(zip(found.numbers, found.shown, strict=True))

    def inspect(self, places: Sequence[int], documents: Sequence[Any], into: Differences) -> dict[int, str]:
        """Look at records that could be read; returns why some must be rejected, by their place."""
        found = self._check.marks(documents)
        rejected: dict[int, str] = {}
        for row, mark, shown in zip(found.places, found.numbers, found.shown, strict=True):
            place, document = places[row], documents[row]
            into.add(place, ((mark, shown),), self.version_of(document), self.id_of(document))
            if mark in self._refused and place not in rejected:
                rejected[place] = self._reason(mark, shown)
        for place, reason in rejected.items():
            into.add(place, ((_REJECTED, reason),), None, "")
        return rejected

    def unreadable(self, place: int, raw: bytes | None, reason: str, into: Differences) -> None:
        """Look at a record that was rejected, as far as it can be read."""
        try:
            document = orjson.loads(raw or b"")
        except orjson.JSONDecodeError:
            into.add(place, ((_NOT_JSON, "not JSON"), (_REJECTED, reason)), None, "")
            return
        found = self._check.marks([document])
        differences = [*zip(found.numbers, found.shown, strict=True), (_REJECTED, reason)]
        into.add(place, differences, self.version_of(document), self.id_of(document))

    def version_of(self, document: Any) -> str | None:
        """The version that a record names."""
        if self._version is None or type(document) is not dict:
            return None
        try:
            version = canonical(pick(document, self._version))
        except Unreadable:
            return None
        return None if version is None else _harmless(version[:_VERSION_CHARS])

    def id_of(self, document: Any) -> str:
        """The request ID, if there is one."""
        found = pick(document, self._request_id) if type(document) is dict else None
        return _harmless(found[:ID_CHARS]) if type(found) is str else ""

    def _reason(self, mark: int, shown: str) -> str:
        place, kind = divmod(mark, KINDS)
        name = self.contract.fields[place].name
        what = f"field {name!r}" if name else "the record"
        return f"contract: {what} {_WORDS[Kind(kind)]} ({shown})"


def _at(root: Field, path: Path) -> Field | None:
    """The field at the end of a path, where the contract has one."""
    found: Field | None = root if path else None
    for name in path:
        found = None if found is None else found.members.get(name)
    return found


def _is_below(name: str, refused: Collection[str]) -> bool:
    """Whether a field is one of those, or within one."""
    return any(not each or name == each or name.startswith((f"{each}.", f"{each}[")) for each in refused)


def _harmless(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
