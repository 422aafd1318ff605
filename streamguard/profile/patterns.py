"""What texts look like: `AB-1234` is `A-9`."""

import re
from collections import Counter
from collections.abc import Mapping

SHAPE_CHARS_MAX = 40
"""Longer ones end in an ellipsis."""
_RUN = re.compile(r"([aA9 ])\1+")


class _Classes(dict[int, str]):
    """By code point; each is looked at once."""

    def __missing__(self, code: int) -> str:
        each = chr(code)
        if each.isdigit():
            kind = "9"
        elif each.isalpha():
            kind = "A" if each.isupper() else "a"
        else:
            kind = " " if each.isspace() else each
        if len(self) < 4096:
            self[code] = kind
        return kind


_CLASSES = _Classes()


def shape(text: str) -> str:
    """A text with runs of small letters as `a`, of capitals as `A`, of digits as `9`; all else stays.

    >>> shape("Order AB-1234")
    'Aa A-9'
    """
    found = _RUN.sub(r"\1", text[: 4 * SHAPE_CHARS_MAX].translate(_CLASSES))
    is_whole = len(found) <= SHAPE_CHARS_MAX and len(text) <= 4 * SHAPE_CHARS_MAX
    return found if is_whole else f"{found[:SHAPE_CHARS_MAX]}…"


def shapes(texts: Mapping[str, int]) -> Counter[str]:
    """How often each shape occurs, of texts with how often each occurs."""
    found: Counter[str] = Counter()
    for text, count in texts.items():
        found[shape(text)] += count
    return found
