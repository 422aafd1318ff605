"""Steps that prepare text."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from streamguard.core.features.fates import Fates, by_rows
from streamguard.core.features.markup import without_markup
from streamguard.core.features.traits import Traits

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]

_DIGIT = re.compile("[0-9]")
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_OTHER_SPACES = "\t\n\v\f\r\x1c\x1d\x1e\x1f"
# No character before these, but for 0 to 9, is a digit or has an accent in it.
_UNUSUAL = re.compile("[\u00a8-\U0010ffff]")
# Sorting the marks on one letter takes Python the square of their number, and no language has more than a few.
_SHORT = 1000


class TextStep:
    """A step that prepares text, and leaves alone whatever is none."""

    __slots__ = ()

    name: ClassVar[str]
    trait: ClassVar[str | None] = None
    """Of an ASCII text: characters of which the step removes or changes all, and no others."""
    is_ascii: ClassVar[bool] = False
    """Whether the same holds for every text."""

    def prepared(self, text: str) -> str:
        """The text after the step."""
        raise NotImplementedError

    def is_changed(self, text: str) -> bool:
        """Whether the step would change it."""
        return self.prepared(text) != text

    def fates(self, values: Sequence[Any], traits: Traits | None = None) -> Fates:
        rows = np.fromiter((type(each) is str for each in values), np.bool_, len(values))
        texts = values if rows.all() else [each for each in values if type(each) is str]
        return by_rows(rows, is_changed=self._are_changed(texts, traits))

    def applied(self, value: Any) -> Any:
        return self.prepared(value) if type(value) is str else value

    def _are_changed(self, texts: Sequence[str], traits: Traits | None) -> NDArray[np.bool_]:
        if traits is None or self.trait is None:
            return np.fromiter(map(self.is_changed, texts), np.bool_, len(texts))
        found = traits.counts[self.trait] > 0
        if not self.is_ascii:
            for place in np.flatnonzero(traits.counts["non_ascii"]).tolist():
                found[place] = self.is_changed(texts[place])
        return found


@dataclass(frozen=True, slots=True)
class LowerCase(TextStep):
    """`str.lower`."""

    name = "lower_case"
    trait = "upper"

    def prepared(self, text: str) -> str:
        return text.lower()


@dataclass(frozen=True, slots=True)
class StripDigits(TextStep):
    """Removes digits of all scripts: `str.isdigit`."""

    name = "strip_digits"
    trait = "digits"

    def prepared(self, text: str) -> str:
        if text.isascii():
            return _DIGIT.sub("", text)
        return "".join(each for each in text if not each.isdigit())

    def is_changed(self, text: str) -> bool:
        return _DIGIT.search(text) is not None or (not text.isascii() and any(map(str.isdigit, _unusual(text))))


@dataclass(frozen=True, slots=True)
class StripPunctuation(TextStep):
    """Removes the punctuation of ASCII: `string.punctuation`."""

    name = "strip_punctuation"
    trait = "punctuation"
    is_ascii = True

    def prepared(self, text: str) -> str:
        return _PUNCTUATION.sub("", text)

    def is_changed(self, text: str) -> bool:
        return _PUNCTUATION.search(text) is not None


@dataclass(frozen=True, slots=True)
class CollapseWhitespace(TextStep):
    """Leaves one blank between words, and none around them."""

    name = "collapse_whitespace"

    def prepared(self, text: str) -> str:
        return " ".join(text.split())

    def is_changed(self, text: str) -> bool:
        if not text.isascii():
            return self.prepared(text) != text
        # A fifth of the time.
        return "  " in text or text.strip() != text or any(map(text.__contains__, _OTHER_SPACES))


@dataclass(frozen=True, slots=True)
class NormalForm(TextStep):
    """A normal form of Unicode (UAX #15)."""

    form: Form

    name = "normal_form"

    def prepared(self, text: str) -> str:
        return _normalized(self.form, text)

    def is_changed(self, text: str) -> bool:
        return not unicodedata.is_normalized(self.form, text)


@dataclass(frozen=True, slots=True)
class StripAccents(TextStep):
    """Removes accents: what NFKD takes apart as a mark (category Mn). A text without any is left as it is."""

    name = "strip_accents"

    def prepared(self, text: str) -> str:
        if not self.is_changed(text):
            return text
        return _normalized("NFC", "".join(map(_without_accent, text)))

    def is_changed(self, text: str) -> bool:
        return not text.isascii() and any(map(_is_accented, _unusual(text)))


@dataclass(frozen=True, slots=True)
class StripMarkup(TextStep):
    """Removes tags and comments of HTML and XML, and puts characters where references to them are."""

    name = "strip_markup"

    def prepared(self, text: str) -> str:
        return without_markup(text)


def _unusual(text: str) -> set[str]:
    """The characters of a text, but perhaps not those of ASCII."""
    # Of a long text, a list of all would be a hundred times its size.
    return set(text) if len(text) > _SHORT else set(_UNUSUAL.findall(text))


@lru_cache(maxsize=1 << 14)
def _without_accent(character: str) -> str:
    parts = unicodedata.normalize("NFKD", character)
    return "".join(each for each in parts if unicodedata.category(each) != "Mn")


@lru_cache(maxsize=1 << 14)
def _is_accented(character: str) -> bool:
    return any(unicodedata.category(each) == "Mn" for each in unicodedata.normalize("NFKD", character))


def _normalized(form: Form, text: str) -> str:
    """In time that grows as the text does."""
    if len(text) > _SHORT and not unicodedata.is_normalized(form, text):
        decomposed: Form = "NFKD" if "K" in form else "NFD"
        apart = "".join(unicodedata.normalize(decomposed, each) for each in text)
        text = "".join(
            "".join(sorted(marks, key=unicodedata.combining) if is_mark else marks)
            for is_mark, marks in groupby(apart, key=lambda each: unicodedata.combining(each) > 0)
        )
    return unicodedata.normalize(form, text)
