"""Text without the tags and character references of HTML and XML, in time that grows as the text does.

`html.parser` of the standard library takes the square of it for texts made to be slow, and raises errors at some: 8,000
times `<a ` took it six seconds (Python 3.11).
"""

import html
import re
from html.entities import html5

# A `>` within quotes does not end a tag; a quote that nothing closes is a character like others. No tag reaches beyond
# the next `<`, so that each character is looked at a few times only.
_TAG = re.compile(r"""<[A-Za-z/!?](?:(?:[^<>"']|"[^"<]*"|'[^'<]*')*+>|[^<>]*+>)""")
# With the semicolon: URLs are full of `&` and names.
_REFERENCE = re.compile(r"&(?:#[0-9]{1,9}|#[xX][0-9a-fA-F]{1,8}|[A-Za-z][A-Za-z0-9]{0,31});")
_DEPTH_MAX = 16


def without_markup(text: str) -> str:
    """Until there is none: `&amp;lt;` is a reference to a reference, and what is left by tags can be a tag.

    >>> without_markup("<p title='a > b'>1 &lt; 2 &amp; 3<br/><!-- <b> --></p> AT&T, 4 < 5")
    '1 < 2 & 3 AT&T, 4 < 5'
    """
    for _ in range(_DEPTH_MAX):
        if "<" not in text and "&" not in text:
            return text
        before = text
        text = _REFERENCE.sub(_referred, _TAG.sub("", _without_comments(text)))
        if text == before:
            return text
    # Nested more deeply than anyone nests.
    return text.replace("<", "").replace("&", "")


def _without_comments(text: str) -> str:
    if "<!--" not in text:
        return text
    *ended, last = text.split("-->")
    parts = []
    for each in ended:
        before, opened, _ = each.partition("<!--")
        parts.append(before if opened else f"{each}-->")
    return "".join((*parts, last))


def _referred(match: re.Match[str]) -> str:
    reference = match.group()
    return html.unescape(reference) if reference[1] == "#" else html5.get(reference[1:], reference)
