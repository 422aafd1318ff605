"""Which words of live texts occurred in training."""

from collections.abc import Sequence

import numpy as np

from streamguard.core.features.reference import Ints
from streamguard.reference.hashing import hashes_of_texts
from streamguard.reference.parts import Text
from streamguard.reference.vocabulary import WordFilter, words_of

# Words come again and again: of so many it is remembered what the filter says.
_REMEMBERED_MAX = 50_000


class KnownWords:
    """Asks the filter of a text field's profile; what it has said is remembered, which changes no answer."""

    def __init__(self, text: Text) -> None:
        self._filter = WordFilter.decoded(text.words.filter or "")
        self._known: dict[str, bool] = {}

    def unknown(self, texts: Sequence[str]) -> tuple[Ints, Ints]:
        """How many words each text has that training did not, and how many in all; each of shape (texts,)."""
        counted = [words_of([text]) for text in texts]
        self._learn({word for words in counted for word in words} - self._known.keys())
        known = self._known
        unknown = [sum(count for word, count in words.items() if not known.get(word, False)) for words in counted]
        found = np.array(unknown, np.int64), np.array([words.total() for words in counted], np.int64)
        if len(known) > _REMEMBERED_MAX:
            known.clear()
        return found

    def _learn(self, new: set[str]) -> None:
        words = sorted(new)
        if words:
            is_known = self._filter.knows(hashes_of_texts(words)).tolist()
            self._known.update(zip(words, is_known, strict=True))
