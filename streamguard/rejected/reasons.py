"""Reasons that differ in nothing but values, as one."""

import re

_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""
# In this order at each place: names that say which field or topic it is stay, and so do names of standards.
_PARTS = re.compile(
    rf"(?P<kept>\b(?:field|topic) (?:{_TEXT})|\b(?:RFC |UTF-)\d+)|(?P<text>(?<!\w)(?:{_TEXT})(?!\w))"
    r"|(?P<number>(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?!\w))"
)


def kind_of(reason: str) -> str:
    """What a reason says, without the values that it names: numbers are `N`, quoted values `'…'`.

    >>> kind_of("field 'time' is 5000 ms ahead of the record's Kafka timestamp, above join.max_ahead 60 ms")
    "field 'time' is N ms ahead of the record's Kafka timestamp, above join.max_ahead N ms"
    >>> kind_of("field 'label': value 'abc' is not an integer, as its declared type says")
    "field 'label': value '…' is not an integer, as its declared type says"
    """
    return _PARTS.sub(_general, reason)


def _general(match: "re.Match[str]") -> str:
    return match["kept"] or ("'…'" if match["text"] else "N")
