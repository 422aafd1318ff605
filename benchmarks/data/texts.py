"""Real English texts of about 30 words, prepared for a model in three steps of which one or two may be left out.

    python -m benchmarks.data.texts

Sentences are those of the language reference (`pydoc_data.topics`) and of the docstrings in the standard library, as
the Python that runs this has them; a text is some of them by chance. So nothing is downloaded, words and marks are as
people set them, and another version of Python gives other texts: tests that compare figures say which they are of.

A model gets *prepared* texts: in lower case, without digits, without punctuation. From a given text on steps can be
skipped. Which characters are capitals, digits and marks before any preparation is printed by the command above. With
Python 3.11.7: 12,953 sentences; of the characters of raw texts 3.0% are capitals, 0.6% digits and 3.9% punctuation. Of
50,000 texts 99.9% have capitals, 37% digits and all punctuation. Sentences with digits are taken three times as often
as others, without which only 0.2% of the characters were digits.
"""

import ast
import re
import string
import sysconfig
from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import cache
from itertools import combinations
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np

from benchmarks.detection.streams import Ints, generator

TEXTS = 50_000
WORDS = 30
"""About so many in a text: sentences are added until there are `WORDS - 8` or more."""
_WITH_DIGITS = 3
"""How often a sentence with digits is chosen, against one without: there are fewer here than in news or mail."""
_LEFT_OUT = {"site-packages", "test", "tests", "idlelib", "lib2to3", "turtledemo", "encodings", "pydoc_data"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'(])")
_SENTENCE = re.compile(r"[A-Z\"'(].*[.!?][)\"']?")
_DIGITS = str.maketrans("", "", string.digits)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class Step(StrEnum):
    """What is done to a text before a model gets it, in this order."""

    LOWER = "lower"
    DIGITS = "digits"
    PUNCTUATION = "punctuation"


SKIPPED: tuple[frozenset[Step], ...] = tuple(
    frozenset(chosen) for count in (1, 2) for chosen in combinations(Step, count)
)
"""Each step by itself, and each pair."""


def prepared(text: str, skipped: frozenset[Step] = frozenset()) -> str:
    """What a model gets, where these steps are left out."""
    if Step.LOWER not in skipped:
        text = text.lower()
    if Step.DIGITS not in skipped:
        text = text.translate(_DIGITS)
    return text if Step.PUNCTUATION in skipped else text.translate(_PUNCTUATION)


def raw(count: int = TEXTS, seed: int = 0, *, name: str = "production") -> list[str]:
    """Texts as people write them; `name` tells other texts of the same seed apart, such as those of training."""
    return _joined(_chosen(name, count, seed), sentences())


def training(count: int = TEXTS, seed: int = 0) -> list[str]:
    """Prepared texts that the model was trained on: other texts than those of `stream`, of the same sentences."""
    return stream(count, seed, name="training")


def stream(
    count: int = TEXTS,
    seed: int = 0,
    *,
    skipped: frozenset[Step] = frozenset(),
    at_row: int = 0,
    name: str = "production",
) -> list[str]:
    """Prepared texts; from text `at_row` on these steps are skipped."""
    texts = _chosen(name, count, seed)
    # No step looks across a blank, so that each sentence is prepared once.
    right, wrong = ([prepared(each, which) for each in sentences()] for which in (frozenset(), skipped))
    return _joined(texts[:at_row], right) + _joined(texts[at_row:], wrong)


@cache
def sentences() -> tuple[str, ...]:
    """All that there are to choose from, in the order of their letters."""
    found = {each for paragraph in _paragraphs() for each in _SENTENCE_END.split(" ".join(paragraph.split()))}
    return tuple(sorted(each for each in found if _is_prose(each)))


def shares(texts: Sequence[str]) -> dict[str, float]:
    """Of all characters those that are capitals, digits and punctuation, and the texts that have any."""
    kinds = {"capitals": str.isupper, "digits": str.isdigit, "punctuation": string.punctuation.__contains__}
    length = sum(map(len, texts))
    found = {}
    for name, is_one in kinds.items():
        counts = [sum(map(is_one, text)) for text in texts]
        found[name] = sum(counts) / length
        found[f"texts with {name}"] = sum(map(bool, counts)) / len(texts)
    return found


def _paragraphs() -> Iterator[str]:
    for text in (*topics.values(), *_docstrings()):
        yield from re.split(r"\n\s*\n", text)


def _docstrings() -> Iterator[str]:
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        if _LEFT_OUT.isdisjoint(path.relative_to(root).parts):
            for node in ast.walk(ast.parse(path.read_bytes())):
                text = ast.get_docstring(node) if isinstance(node, _DOCUMENTED) else None
                yield text or ""


def _is_prose(sentence: str) -> bool:
    """Whether it is a sentence and not code, a heading or a list."""
    words = sentence.split()
    if not 5 <= len(words) <= 40 or not _SENTENCE.fullmatch(sentence) or any(len(word) > 30 for word in words):
        return False
    marks = sum(letter in string.punctuation for letter in sentence)
    plain = sum(word.strip(string.punctuation).isalpha() for word in words)
    is_code = any(each in sentence for each in (">>>", "::", "==", "->", "**", "``", " = "))
    return not is_code and plain >= 0.75 * len(words) and marks <= 0.1 * len(sentence)


def _chosen(name: str, count: int, seed: int) -> list[list[int]]:
    """The sentences of each text."""
    lengths = np.array([len(each.split()) for each in sentences()])
    weights = [_WITH_DIGITS if any(map(str.isdigit, each)) else 1 for each in sentences()]
    urn = np.repeat(np.arange(len(weights)), weights)
    # As many as are needed at the most: the shortest have five words.
    drawn: Ints = generator(f"data/texts/{name}", seed).integers(0, len(urn), (count, WORDS // 5))
    places = urn[drawn]
    before = np.cumsum(lengths[places], axis=1) - lengths[places]
    numbers = (before < WORDS - 8).sum(axis=1).tolist()
    return [row[:number] for row, number in zip(places.tolist(), numbers, strict=True)]


def _joined(texts: list[list[int]], of: Sequence[str]) -> list[str]:
    return [" ".join([of[place] for place in text]) for text in texts]


def main() -> None:
    """Say what the texts are like."""
    texts = raw()
    words = np.array([len(text.split()) for text in texts])
    low, middle, high = np.quantile(words, [0.05, 0.5, 0.95])
    print(f"{len(sentences()):,} sentences; {len(texts):,} texts, {len(set(texts)):,} of them different")
    print(
        f"words in a text: {words.mean():.1f} on average, {low:.0f} to {high:.0f} in nine of ten, median {middle:.0f}"
    )
    print(f"different words once prepared: {len(set(' '.join(stream()).split())):,}")
    for name, share in shares(texts).items():
        print(f"{name}: {share:.2%}")
    print("\n".join(texts[:3]))


if __name__ == "__main__":
    main()
