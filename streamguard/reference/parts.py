"""The parts of a profile as a document: each field says what it is."""

from collections.abc import Iterable
from typing import Annotated

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, field_validator

from streamguard.reference.hashing import hashes_of_texts
from streamguard.reference.vocabulary import WordFilter, words_of

Rows = int
"""A count of rows, or of values in them."""


def counts_of(text: str) -> dict[int, int]:
    """Bins as they stand in a profile, as counts; raises `ValueError` for anything else.

    >>> counts_of("-3:10 7:2")
    {-3: 10, 7: 2}
    """
    pairs = (each.split(":") for each in text.split())
    return {int(key): int(count) for key, count in pairs}


def counts_text(counts: dict[int, int]) -> str:
    """The inverse of `counts_of`."""
    return " ".join(f"{key}:{count}" for key, count in counts.items())


def _is_counts(text: str) -> str:
    counts_of(text)
    return text


Counts = Annotated[str, AfterValidator(_is_counts)]
"""Bins with their counts, on one line."""


class Part(BaseModel):
    """A part of a profile: typed strictly, and never changed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Numbers(Part):
    """The finite numbers of a feature, whole ones and others."""

    count: Rows
    zeros: Rows
    negative: Rows
    beyond_exact: Rows
    """Whole numbers whose magnitude is 2^53 or more: each was taken as the nearest float64."""
    min: float | None
    max: float | None
    mean: float | None
    sd: float | None
    """Standard deviation of the population; null where a number is beyond 1e150, or there is none."""
    quantiles: dict[str, float]
    """By which part of the numbers is at most so large: off by at most 1/64 of the value or 1/127 of the range,
    whichever is less; by the second alone where it is one of those near zero."""
    log_bins: Counts
    """Counts as `key:count`. A bin with key k >= 0 reaches from the float64 with the bits k << 47 to that with
    (k + 1) << 47; for k < 0 it holds negative numbers, whose magnitudes are those of bin -1 - k."""
    near_zero: Rows
    """Numbers other than zero that are nearer to it than all of these bins, at most 384."""
    equal_bins: Counts
    """Counts as `number:count`. Bin n reaches from n to n + 1 times 2^equal_width_log2."""
    equal_width_log2: int


class Booleans(Part):
    """True and false; 0 and 1 are numbers, and not here."""

    true: Rows
    false: Rows


class Category(Part):
    """A value, and in how many rows it occurred; at least in so many, where `error` is not 0."""

    value: str | int
    count: Rows


class Categories(Part):
    """Frequent values: texts of at most 64 characters, and whole numbers."""

    values: list[Category]
    """The most frequent first; none that occurred in fewer than `min_count` rows."""
    other: Rows
    """Rows with other values than these."""
    long: Rows
    """Rows with longer texts, or whole numbers of more than 64 bits."""
    unpaired: Rows
    """Rows with texts that hold lone surrogates, which no UTF-8 can say."""
    error: Rows
    """How much too low each count may be: 0 unless there were more values than are kept."""


class Pattern(Part):
    """How texts look: runs of small letters as `a`, of capitals as `A`, of digits as `9`, all else as it is."""

    pattern: str
    count: Rows


class Length(Part):
    """Of texts, in characters."""

    min: int
    max: int
    mean: float


class Rate(Part):
    """Which part of the characters is of some kind."""

    rate: float
    """Of all characters of all texts."""
    texts: Rows
    """That have one."""
    bins: Counts
    """Texts by their own rate as `bin:count`: bin 0 has none, bin 33 no others, and bins 1 to 32 share what is
    between equally."""


class Words(Part):
    r"""The words of texts, runs of `\w`; of none is said which it is."""

    count: int
    distinct: int
    """About: 1.6% standard error."""
    buckets: Counts
    """Occurrences as `bucket:count`, by the last eight bits of the word's hash: BLAKE2b, eight bytes, as a
    little-endian number."""
    filter: str | None
    """A Bloom filter of all words, 2^19 bits in base64: it can be asked whether it knows a word. Null: there is
    none."""
    mistaken: float | None
    """Which part of the words that did not occur the filter takes for known."""

    @field_validator("filter")
    @classmethod
    def _is_filter(cls, text: str | None) -> str | None:
        if text is not None:
            WordFilter.decoded(text)
        return text


class Text(Part):
    """A field of running text."""

    empty: Rows
    characters: int
    length: Numbers
    rates: dict[str, Rate]
    """upper, digits, punctuation (of ASCII), non_ascii, and whitespace_runs: white space that follows white space."""
    words: Words

    def coverage(self, texts: Iterable[str]) -> float | None:
        """Which part of the words of other texts (0 to 1) occurred in these.

        None where those have no words, or there is no filter. It takes `words.mistaken` of the unknown ones for known.
        Of the texts themselves it is 1.
        """
        counted = words_of(texts)
        if not counted or self.words.filter is None:
            return None
        counts = np.fromiter(counted.values(), np.int64, len(counted))
        is_known = WordFilter.decoded(self.words.filter).knows(hashes_of_texts(counted))
        return float(counts[is_known].sum() / counts.sum())


class Feature(Part):
    """One field, by its dotted path."""

    kinds: dict[str, Rows]
    """Values by kind, without kinds that there were none of: null, nan, infinite, boolean, integer, number (with a
    fraction, or written with one), text, list, object (empty, or below the eighth level)."""
    missing: Rows
    """Rows in which it is not there, null or NaN."""
    missing_rate: float
    distinct: int
    """Distinct values, without lists and objects."""
    distinct_is_exact: bool
    """Or about: 3.3% standard error."""
    numbers: Numbers | None = None
    booleans: Booleans | None = None
    categories: Categories | None = None
    patterns: list[Pattern] | None = None
    length: Length | None = None
    text: Text | None = None


class Reliability(Part):
    """One bin of scores that is not empty."""

    above: float
    """Its lower edge; it is 0.05 wide."""
    count: Rows
    mean_score: float
    positive_rate: float
    """How often the label was the positive class."""


class Calibration(Part):
    """Whether scores mean what they say."""

    count: Rows
    """With a score within 0 to 1, and a label of the kind of the positive class."""
    expected_error: float
    """Expected calibration error (Naeini et al., AAAI 2015): how far scores are from what happened, on average."""
    bins: list[Reliability]


class Confusion(Part):
    """How often a label got a prediction."""

    label: str | int | bool
    prediction: str | int | bool
    count: Rows


class Outcome(Part):
    """Predictions against labels."""

    labelled: Rows
    unlabelled: Rows
    """Rows in which the prediction or the label is missing, a list or an object."""
    mismatch_rate: float | None
    """How often the two differ."""
    incomparable: Rows
    """Rows in which they are of two kinds, such as a text and a number, and so differ."""
    losses: dict[str, float]
    """Means: absolute, squared, log_loss (nats), brier; without those that are not defined for these values."""
    confusion: list[Confusion]
    """The most frequent first; none in fewer than `min_count` rows, and none of numbers with a fraction."""
    confusion_error: Rows
    """How much too low each count may be: 0 unless there were more than 256 pairs."""
    calibration: Calibration | None
