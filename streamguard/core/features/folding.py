"""From predictions to counts: how many came of each bin, by segment and window of event time.

Counts are integers and add up in any order, so that it changes nothing how the stream is cut, or which partition a
prediction came on. Nothing is remembered from one call to the next.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from reprlib import Repr
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from streamguard.core.features.number_steps import floats
from streamguard.core.features.reference import (
    BINS_OF_FATES,
    CHANGED,
    FIRST,
    KNOWN,
    MISSING,
    ODD,
    UNKNOWN,
    Column,
    Ints,
    Kind,
    Reference,
    rate_bins,
)
from streamguard.core.features.steps import StepFailedError, compared, expected
from streamguard.core.features.traits import Traits, traits_of
from streamguard.core.fields import Path, pick
from streamguard.core.records import Scalar

# Words are looked up one by one; of one text in so many they say enough.
_WORDS_OF = 8
_SHOWN_CHARS = 200
# Lists and objects may be nested deeper than Python goes.
_SHORT = Repr()
_SHORT.maxother = _SHORT.maxstring = _SHOWN_CHARS
_TEXTS: set[type] = {str, type(None)}

Floats = NDArray[np.float64]
Values = Sequence[Any]


@dataclass(frozen=True, slots=True)
class Example:
    """The first prediction that shows something."""

    offset: int
    time_ms: int
    request_id: str
    shown: tuple[str, ...] = ()
    """What training would have made of the raw value, and what came; or an unknown field's name."""


@dataclass(slots=True)
class Counts:
    """What came in one window of one segment: sparse counts of bins, sorted by bin."""

    segment: int
    start_ms: int
    rows: int
    offsets: tuple[int, int]
    """The first and the last."""
    bins: Ints
    counts: Ints
    scored: int = 0
    """Predictions whose error can be expected from their scores,"""
    expected: int = 0
    """and of how many millionths of errors."""
    examples: dict[int, Example] = field(default_factory=dict)
    """By column."""


@dataclass(frozen=True, slots=True)
class Given:
    """Predictions of one monitor, as columns of equal length."""

    offsets: Ints
    times: Ints
    ids: Callable[[], Sequence[str]]
    """Tells the request IDs."""
    documents: Sequence[dict[str, Any]]
    predictions: Sequence[Scalar]
    scores: Floats | None
    segments: Ints
    """The number of each row's segment."""

    def __len__(self) -> int:
        return len(self.offsets)


class Fold:
    """Counts the predictions of one monitor."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self.fingerprint, self.window_ms = reference.fingerprint, reference.window_ms
        self._columns = [_Counter(column, reference) for column in reference.columns]
        self._starts = reference.offsets[:-1]
        self._size = reference.size
        groups: dict[Path, list[int]] = {}
        for number, column in enumerate(reference.columns):
            groups.setdefault(column.path, []).append(number)
        self._by_path = groups
        self._getters = _getters(list(groups))
        self._raws = [(number, column.raw) for number, column in enumerate(reference.columns) if column.raw is not None]

    def counts(self, rows: Given) -> list[Counts]:
        """By window and segment, in the order of their first rows."""
        if not len(rows):
            return []
        places, firsts = _windows(rows, self._reference.window_ms)
        bins, examples = self._bins(rows, places)
        return self._collected(rows, places, firsts, bins, examples)

    def _bins(self, rows: Given, windows: Ints) -> tuple[list[Ints], dict[int, list[tuple[int, Example]]]]:
        """The bin of each row in each column, and what is first of its kind in each window."""
        found: list[Ints] = [np.empty(0, np.int64)] * len(self._columns)
        examples: dict[int, list[tuple[int, Example]]] = {}
        raws = {number: [pick(each, raw) for each in rows.documents] for number, raw in self._raws}
        for path, values in _columns_of(rows.documents, self._getters):
            if path not in self._by_path:
                continue
            texts = _Texts(values) if any(self._columns[each].reads_texts for each in self._by_path[path]) else None
            for number in self._by_path[path]:
                counter = self._columns[number]
                found[number] = counter.bins(values, texts, rows, raws.get(number))
                shown = {Kind.STEP: CHANGED, Kind.NAMES: UNKNOWN}.get(counter.column.kind)
                if shown is not None and (seen := np.flatnonzero(found[number] == shown)).size:
                    examples[number] = list(self._examples(counter, rows, windows, seen, values, raws.get(number)))
        return found, examples

    def _examples(
        self,
        counter: "_Counter",
        rows: Given,
        windows: Ints,
        seen: NDArray[np.intp],
        values: Values,
        raw: Values | None,
    ) -> Iterator[tuple[int, Example]]:
        """The first row in each window, by offset."""
        _, firsts = np.unique(windows[seen], return_index=True)
        ids = rows.ids()
        for place in seen[firsts].tolist():
            shown = counter.shown(values[place], None if raw is None else raw[place])
            yield int(windows[place]), Example(int(rows.offsets[place]), int(rows.times[place]), ids[place], shown)

    def _collected(
        self,
        rows: Given,
        windows: Ints,
        firsts: NDArray[np.intp],
        bins: list[Ints],
        examples: dict[int, list[tuple[int, Example]]],
    ) -> list[Counts]:
        window_ms = self._reference.window_ms
        codes = np.concatenate(
            [windows * self._size + start + each for start, each in zip(self._starts, bins, strict=True)]
        )
        found, counts = _counted(codes, len(firsts) * self._size)
        bounds = np.searchsorted(found, np.arange(len(firsts) + 1) * self._size)
        sizes = np.bincount(windows, minlength=len(firsts))
        lasts = np.zeros(len(firsts), np.int64)
        np.maximum.at(lasts, windows, rows.offsets)
        scored, errors = self._expected(rows, windows, len(firsts))
        result = [
            Counts(
                segment=int(rows.segments[first]),
                start_ms=int(rows.times[first]) // window_ms * window_ms,
                rows=int(sizes[number]),
                offsets=(int(rows.offsets[first]), int(lasts[number])),
                bins=found[bounds[number] : bounds[number + 1]] - number * self._size,
                counts=counts[bounds[number] : bounds[number + 1]],
                scored=int(scored[number]),
                expected=int(errors[number]),
            )
            for number, first in enumerate(firsts.tolist())
        ]
        for column, shown in examples.items():
            for number, example in shown:
                result[number].examples[column] = example
        return result

    def _expected(self, rows: Given, windows: Ints, count: int) -> tuple[Ints, Ints]:
        """Of how many predictions the error can be expected in each window, and their sum in millionths."""
        calibration = self._reference.calibration
        if not calibration or rows.scores is None:
            return np.zeros(count, np.int64), np.zeros(count, np.int64)
        edges, rates = (np.array(column) for column in zip(*calibration, strict=True))
        known = np.flatnonzero(~np.isnan(rows.scores))
        of_positive = rates[np.maximum(np.searchsorted(edges, rows.scores[known], "right") - 1, 0)]
        positive = {(type(each), each) for each in self._reference.positive}
        is_positive = np.array([(type(each := rows.predictions[place]), each) in positive for place in known.tolist()])
        errors = np.rint(np.where(is_positive, 1 - of_positive, of_positive) * 1e6)
        sums = np.bincount(windows[known], errors, minlength=count)
        return np.bincount(windows[known], minlength=count), sums.astype(np.int64)


class _Texts:
    """The texts among values, and their traits."""

    def __init__(self, values: Values) -> None:
        self.places = np.array([place for place, each in enumerate(values) if type(each) is str], np.int64)
        self.texts = [values[place] for place in self.places.tolist()]
        self.traits: Traits = traits_of(self.texts)


class _Counter:
    """Finds the bin of each value in one column."""

    def __init__(self, column: Column, reference: Reference) -> None:
        self.column = column
        self._reference = reference
        self._edges = np.array(column.edges)
        self._table: dict[tuple[type, Scalar], int] = {
            (type(each), each): number for number, each in enumerate(column.values, FIRST)
        }
        self._texts: dict[Any, int] = {each: number for (kind, each), number in self._table.items() if kind is str}
        self._texts[None] = MISSING
        self._kinds = set(column.kinds)
        self._other = FIRST + len(column.values)

    @property
    def reads_texts(self) -> bool:
        return self.column.kind in {Kind.LENGTH, Kind.RATE, Kind.WORDS} or bool(self.column.steps)

    def bins(self, values: Values, texts: _Texts | None, rows: Given, raw: Values | None) -> Ints:
        """Of shape (values,)."""
        kind = self.column.kind
        if kind is Kind.STEP:
            return self._steps(values, texts, raw)
        if kind is Kind.NUMBER:
            return self._numbers(values)
        if kind is Kind.CATEGORY:
            return self._categories(values)
        if kind is Kind.NAMES:
            known = self._reference.known
            return np.array(
                [MISSING if type(each) is not dict else KNOWN if each.keys() <= known else UNKNOWN for each in values]
            )
        if kind is Kind.TEXT:
            return np.array([FIRST if type(each) is str else MISSING if each is None else ODD for each in values])
        return self._traits(len(values), texts, rows)

    def shown(self, value: Any, raw: Any) -> tuple[str, ...]:
        """What an alert says of a value that a step would change, or that has an unknown field."""
        if self.column.kind is Kind.NAMES:
            return (min(map(str, value.keys() - self._reference.known))[:_SHOWN_CHARS],)
        if self.column.raw is None:
            return ()
        try:
            made = expected(self.column.steps, raw)
        except StepFailedError:
            return ()
        return _clear(made), _clear(value)

    def _numbers(self, values: Values) -> Ints:
        numbers = floats(values)
        bins = FIRST + np.searchsorted(self._edges, numbers, "right")
        others = np.flatnonzero(np.isnan(numbers))
        bins[others] = [MISSING if values[place] is None else ODD for place in others.tolist()]
        return bins

    def _categories(self, values: Values) -> Ints:
        if set(map(type, values)) <= _TEXTS:
            get, other = self._texts.get, self._other if str in self._kinds else ODD
            return np.array([get(each, other) for each in values], np.int64)
        return np.array([self._category(each) for each in values], np.int64)

    def _category(self, value: Any) -> int:
        if value is None:
            return MISSING
        kind = type(value)
        if kind not in self._kinds:
            return ODD
        return self._table.get((kind, value), self._other)

    def _traits(self, count: int, texts: _Texts | None, rows: Given) -> Ints:
        bins = np.full(count, MISSING)
        if texts is None or not len(texts.texts):
            return bins
        lengths, trait = texts.traits.lengths, self.column.trait
        if self.column.kind is Kind.LENGTH:
            bins[texts.places] = FIRST + np.searchsorted(self._edges, lengths.astype(np.float64), "right")
        elif self.column.kind is Kind.WORDS:
            self._words(bins, texts, rows)
        else:
            filled = lengths > 0
            counts = texts.traits.counts[str(trait)]
            bins[texts.places[filled]] = FIRST + rate_bins(counts[filled], lengths[filled])
        return bins

    def _words(self, bins: Ints, texts: _Texts, rows: Given) -> None:
        # By the ID: offsets may be all odd, or others in a file.
        ids = rows.ids()
        chosen = np.flatnonzero([crc32(ids[place].encode()) % _WORDS_OF == 0 for place in texts.places.tolist()])
        unknown, words = self._reference.words[self.column.feature].unknown(
            [texts.texts[each] for each in chosen.tolist()]
        )
        filled = words > 0
        bins[texts.places[chosen[filled]]] = FIRST + rate_bins(unknown[filled], words[filled])

    def _steps(self, values: Values, texts: _Texts | None, raw: Values | None) -> Ints:
        steps = self.column.steps
        if raw is None:
            return BINS_OF_FATES[steps[0].fates(values, None if texts is None else texts.traits)]
        bins = BINS_OF_FATES[[compared(steps, one, other) for one, other in zip(raw, values, strict=True)]]
        # Of a value without its raw one nothing can be said.
        bins[[one is None and other is not None for one, other in zip(raw, values, strict=True)]] = ODD
        return bins


def _clear(value: Any) -> str:
    text = value[:_SHOWN_CHARS] if type(value) is str else _SHORT.repr(value)
    return text[:_SHOWN_CHARS].encode("utf-8", "replace").decode()


def _windows(rows: Given, window_ms: int) -> tuple[Ints, NDArray[np.intp]]:
    """The number of each row's window and segment, in the order of the first row of each, and these rows."""
    keys = rows.times // window_ms * (int(rows.segments.max()) + 1) + rows.segments
    _, firsts, numbers = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(firsts, kind="stable")
    ranks = np.empty_like(order)
    ranks[order] = np.arange(len(order))
    return ranks[numbers], firsts[order]


def _counted(codes: Ints, size: int) -> tuple[Ints, Ints]:
    """The codes that there are, sorted, and how often."""
    if size > 8 * len(codes):
        return np.unique(codes, return_counts=True)
    counts = np.bincount(codes, minlength=size)
    found = np.flatnonzero(counts)
    return found, counts[found]


_Getter = tuple[Path, list[Path], Callable[[Any], Any]]


def _getters(paths: Sequence[Path]) -> list[_Getter]:
    """The paths by the object that they are in: its own path, theirs, and what takes all their values out of it."""
    groups: dict[Path, list[Path]] = {}
    for path in paths:
        if path:
            groups.setdefault(path[:-1], []).append(path)
    return [(parent, members, itemgetter(*(path[-1] for path in members))) for parent, members in groups.items()]


def _columns_of(documents: Sequence[dict[str, Any]], getters: Sequence[_Getter]) -> Iterator[tuple[Path, Values]]:
    """The values of each path, None where there is none."""
    yield (), documents
    for parent, members, get in getters:
        objects: Sequence[Any] = [pick(each, parent) for each in documents] if parent else documents
        try:
            rows = [get(each) for each in objects]
        except (KeyError, TypeError):
            for path in members:
                name = path[-1]
                yield path, [each.get(name) if type(each) is dict else None for each in objects]
            continue
        columns: Iterator[Values] = iter([rows]) if len(members) == 1 else zip(*rows, strict=True)
        yield from zip(members, columns, strict=True)
