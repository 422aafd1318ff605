"""A contract: the fields that a record may have, and how each may differ from that.

Every difference has a number, its *mark*: `field.number * KINDS + kind`. What is counted on the stream are marks.
"""

import re
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from hashlib import blake2b

from streamguard.core.records import Scalar


class Kind(IntEnum):
    """How a field differs from its contract."""

    MISSING = 0
    NULL = 1
    TYPE = 2
    VALUE = 3
    """Not one of an enumeration."""
    RANGE = 4
    """A number beyond its bounds."""
    FORM = 5
    """A text of another form or length, or an array of another length."""
    NEW = 6
    """Of an object: it has a field that is not known."""
    REJECTED = 7
    """Of the whole record: it could not be used, whatever the contract says."""


KINDS = len(Kind)
HARMLESS = frozenset({Kind.NEW})
"""What a consumer that passes over unknown fields does not feel."""
ROOT = ""
ITEMS = "[]"
"""After an array's name: each of its elements."""


@dataclass(slots=True)
class Field:
    """One field of a record. A bound that is None is none."""

    number: int
    name: str
    """Dotted; the record itself is `ROOT`."""
    kinds: frozenset[str] = frozenset()
    """JSON types that it may have, by the names of JSON Schema; none: any."""
    is_required: bool = False
    values: tuple[Scalar | None, ...] | None = None
    minimum: float | None = None
    maximum: float | None = None
    is_open: tuple[bool, bool] = (False, False)
    """Whether the bounds themselves are beyond the bounds."""
    shortest: int | None = None
    longest: int | None = None
    is_of_items: bool = False
    """Whether these are lengths of an array, and not of a text."""
    pattern: re.Pattern[str] | None = None
    form: str | None = None
    """What the pattern stands for, in words."""
    members: dict[str, "Field"] = field(default_factory=dict)
    is_closed: bool = False
    """Whether an object has no members but these."""
    items: "Field | None" = None
    usual: dict[Kind, float] = field(default_factory=dict)
    """How often it differed while the contract was learned, as a part of the records."""
    quantiles: tuple[float, ...] = ()
    """Of a number while it was learned: equally spaced, the least first."""

    @property
    def is_nullable(self) -> bool:
        """Whether null is as good as a value."""
        return not self.kinds or "null" in self.kinds

    def counts(self, kind: Kind) -> bool:
        """Whether it matters that it is missing or null, although that is allowed."""
        return kind in self.usual

    def below(self, name: str) -> str:
        """The name of a member."""
        return f"{self.name}.{name}" if self.name else name


@dataclass(frozen=True)
class Contract:
    """All fields, the record itself first; numbered by their place."""

    fields: tuple[Field, ...]
    text: str
    """The schema that it was made of, as it is compared."""

    @property
    def root(self) -> Field:
        return self.fields[0]

    @property
    def size(self) -> int:
        """Marks that there can be."""
        return len(self.fields) * KINDS

    @cached_property
    def fingerprint(self) -> str:
        """Counts of another contract are of no use."""
        return blake2b(self.text.encode(), digest_size=16).hexdigest()

    def level(self, mark: int) -> float:
        """How often a mark is usual, as a part of the records."""
        place, kind = divmod(mark, KINDS)
        return self.fields[place].usual.get(Kind(kind), 0.0)

    def named(self, name: str) -> Field | None:
        """The field of that name."""
        return next((each for each in self.fields if each.name == name), None)
