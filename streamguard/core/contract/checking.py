"""Which records differ from the contract, and in what.

Theory of operation. `msgspec` compiles a contract to a type, and takes or refuses a parsed record a few times as fast
as it was parsed (docs/performance.md). What it takes has no mark, but for fields that were now and then missing or null
already: these are looked at as columns. What it refuses is walked through field by field, which alone decides: so the
compiled type is no second definition, and whatever it refuses too much costs time alone.
"""

import re
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from reprlib import Repr
from typing import Annotated, Any, Literal, Union

import msgspec

from streamguard.core.contract.fields import KINDS, Contract, Field, Kind
from streamguard.core.fields import Path, kind_of, pick

_SHOWN_CHARS = 160
_ITEMS_LOOKED_AT = 100
# What msgspec takes no name of a field with.
_UNNAMEABLE = re.compile(r'[\x00-\x1f"\\]')
_WHOLE_MAX = float(1 << 53)
_SHORT = Repr()
_SHORT.maxother = _SHORT.maxstring = _SHOWN_CHARS
_ABSENT, _NOTHING = object(), object()

Types = Any
"""What msgspec reads a type from."""


@dataclass(slots=True)
class Marks:
    """Differences of records, as columns of equal length."""

    places: list[int] = field(default_factory=list)
    """Of the record among those that were looked at."""
    numbers: list[int] = field(default_factory=list)
    """Of field and kind: see `fields`."""
    shown: list[str] = field(default_factory=list)
    """What came instead, cut."""

    def __len__(self) -> int:
        return len(self.places)

    def add(self, places: Sequence[int], numbers: Sequence[int], shown: Sequence[str]) -> None:
        """More of them."""
        self.places += places
        self.numbers += numbers
        self.shown += shown


Difference = tuple[int, str]
"""A mark of one record, and what came instead."""


class Check:
    """Looks at parsed records. It holds no state: how they are cut into calls changes nothing."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self._type = _compiled(contract.root)
        self._sometimes = list(_sometimes(contract.root, ()))

    def marks(self, documents: Sequence[Any]) -> Marks:
        """What differs. Nothing that JSON can be raises."""
        found = Marks()
        convert, wanted = msgspec.convert, self._type
        refused = msgspec.ValidationError, OverflowError, RecursionError, UnicodeEncodeError
        walked = set()
        for place, document in enumerate(documents):
            try:
                convert(document, wanted)
            except refused:
                differences = list(self._walk(self.contract.root, document))
                numbers, shown = zip(*differences, strict=True) if differences else ((), ())
                found.add([place] * len(differences), numbers, shown)
                walked.add(place)
        for path, each in self._sometimes:
            self._look(path, each, documents, walked, found)
        return found

    def _look(self, path: Path, each: Field, documents: Sequence[Any], walked: Container[int], found: Marks) -> None:
        """A field that may be missing or null, but is counted where it is: in records that were not walked through."""
        parent, name = path[:-1], path[-1]
        objects = [pick(document, parent) for document in documents] if parent else documents
        # Of what is no object where an object should be, that is told, and not each of its fields.
        values = [one.get(name, _ABSENT) if type(one) is dict else _NOTHING for one in objects]
        for kind, sought in ((Kind.MISSING, _ABSENT), (Kind.NULL, None)):
            if each.counts(kind):
                places = [place for place, value in enumerate(values) if value is sought and place not in walked]
                shown = [kind.name.lower()] * len(places)
                found.add(places, [each.number * KINDS + kind] * len(places), shown)

    def _walk(self, each: Field, value: Any) -> Iterator[Difference]:
        if not _is_of(each.kinds, value):
            kind = Kind.NULL if value is None else Kind.TYPE
            yield each.number * KINDS + kind, _shown(value)
            return
        if value is None:
            if each.counts(Kind.NULL) or (each.values is not None and None not in each.values):
                yield each.number * KINDS + Kind.NULL, "null"
            return
        kind_found = different(each, value)
        if kind_found is not None:
            yield each.number * KINDS + kind_found, _shown(value)
        if type(value) is dict:
            yield from self._members(each, value)
        elif type(value) is list and each.items is not None:
            for item in value[:_ITEMS_LOOKED_AT]:
                differences = list(self._walk(each.items, item))
                if differences:
                    # One element tells what is wrong with all.
                    yield from differences
                    return

    def _members(self, each: Field, value: dict[str, Any]) -> Iterator[Difference]:
        for name, member in each.members.items():
            found = value.get(name, _ABSENT)
            if found is not _ABSENT:
                yield from self._walk(member, found)
            elif member.is_required or member.counts(Kind.MISSING):
                yield member.number * KINDS + Kind.MISSING, "missing"
        if each.is_closed and (more := value.keys() - each.members.keys()):
            name = min(more)
            inside = value[name]
            held = f": an object with {', '.join(inside)}" if type(inside) is dict else ""
            yield each.number * KINDS + Kind.NEW, _cut(f"{name}{held}")


def _is_of(kinds: frozenset[str], value: Any) -> bool:
    if not kinds:
        return True
    kind = type(value)
    if kind is bool:
        return "boolean" in kinds
    if kind is int:
        return "number" in kinds or "integer" in kinds
    if kind is float:
        return "number" in kinds or ("integer" in kinds and value.is_integer())
    names = {str: "string", dict: "object", list: "array", type(None): "null"}
    return names.get(kind) in kinds


def different(each: Field, value: Any) -> Kind | None:
    """How a value of the right type differs, if it does."""
    if each.values is not None and not any(type(one) is type(value) and one == value for one in each.values):
        # 1 and 1.0 are one number to JSON Schema, and true is none.
        is_number = type(value) in (int, float) and any(
            type(one) in (int, float) and one == value for one in each.values
        )
        if not is_number:
            return Kind.VALUE
    if type(value) in (int, float):
        low, high = each.minimum, each.maximum
        is_low = low is not None and (value < low or (each.is_open[0] and value == low))
        is_high = high is not None and (value > high or (each.is_open[1] and value == high))
        return Kind.RANGE if is_low or is_high else None
    if type(value) is (list if each.is_of_items else str):
        size = len(value)
        if (each.shortest is not None and size < each.shortest) or (each.longest is not None and size > each.longest):
            return Kind.FORM
    if type(value) is str and each.pattern is not None and each.pattern.search(value) is None:
        return Kind.FORM
    return None


def is_bound(each: Field) -> bool:
    """Whether a value of the right type may differ."""
    bounds = each.values, each.minimum, each.maximum, each.shortest, each.longest, each.pattern
    return any(bound is not None for bound in bounds)


def _shown(value: Any) -> str:
    """What came, for people: its type, and a beginning of it."""
    kind = kind_of(value)
    return kind if value is None else _cut(f"{kind}: {value if type(value) is str else _SHORT.repr(value)}")


def _cut(text: str) -> str:
    return text[:_SHOWN_CHARS].encode("utf-8", "replace").decode()


def _sometimes(each: Field, path: Path) -> Iterator[tuple[Path, Field]]:
    """Fields, not within arrays, that are counted where they are missing or null, though that is allowed."""
    for name, member in each.members.items():
        below = (*path, name)
        if member.counts(Kind.MISSING) or member.counts(Kind.NULL):
            yield below, member
        yield from _sometimes(member, below)


# The compiled type.


def _compiled(each: Field) -> Types:
    """The type of a field's values. Where msgspec cannot say what is meant, one that refuses: then all are walked."""
    if not each.kinds and each.values is None:
        return msgspec.UnsetType if is_bound(each) or each.items is not None or each.is_closed else Any
    if each.values is not None:
        return _listed(each, each.values)
    makers: dict[str, Callable[[Field], Types]] = {
        "string": _text,
        "boolean": lambda _: bool,
        "null": lambda _: None,
        "array": _array,
        "object": _object,
    }
    types = [makers[kind](each) for kind in sorted(each.kinds) if kind in makers]
    if each.kinds & {"number", "integer"}:
        types.append(_numeric(each))
    return Union[tuple(types)]  # noqa: UP007 - there may be one, or many


def _listed(each: Field, values: Sequence[Any]) -> Types:
    if values and all(type(value) in (str, type(None)) for value in values):
        # A value of a type that the field may not have is no value of it.
        possible = tuple(value for value in values if _is_of(each.kinds, value))
        return Literal[possible] if possible else msgspec.UnsetType
    return msgspec.UnsetType


def _text(each: Field) -> Types:
    pattern = None if each.pattern is None else each.pattern.pattern
    shortest, longest = (None, None) if each.is_of_items else (each.shortest, each.longest)
    meta = msgspec.Meta(min_length=shortest, max_length=longest, pattern=pattern)
    return str if (shortest, longest, pattern) == (None, None, None) else Annotated[str, meta]


def _numeric(each: Field) -> Types:
    kind: Types = float if "number" in each.kinds else int
    low, high = each.minimum, each.maximum
    if low is None and high is None:
        return kind
    bounds: dict[str, Any] = {}
    for bound, is_open, closed, opened in ((low, each.is_open[0], "ge", "gt"), (high, each.is_open[1], "le", "lt")):
        if bound is None:
            continue
        if kind is int and (not bound.is_integer() or abs(bound) > _WHOLE_MAX):
            return msgspec.UnsetType
        bounds[opened if is_open else closed] = int(bound) if kind is int else bound
    return Annotated[kind, msgspec.Meta(**bounds)]


def _array(each: Field) -> Types:
    items: Types = Any if each.items is None else _compiled(each.items)
    meta = msgspec.Meta(min_length=each.shortest, max_length=each.longest)
    kind: Types = list.__class_getitem__(items)
    is_bound = each.is_of_items and (each.shortest, each.longest) != (None, None)
    return Annotated[kind, meta] if is_bound else kind


def _object(each: Field) -> Types:
    if not each.members and not each.is_closed:
        return dict
    if any(_UNNAMEABLE.search(name) for name in each.members):
        return msgspec.UnsetType
    fields: list[Any] = []
    renamed = {}
    for number, (name, member) in enumerate(each.members.items()):
        wanted = _compiled(member)
        # Names may be anything; attributes may not.
        attribute = f"f{number}"
        renamed[attribute] = name
        fields.append((attribute, wanted) if member.is_required else (attribute, wanted, msgspec.UNSET))
    fields.sort(key=len)
    name = f"Object{each.number}"
    return msgspec.defstruct(name, fields, rename=renamed, forbid_unknown_fields=each.is_closed, gc=False)
