"""Predictions against labels: how often they differ, which is taken for which, and whether scores mean what they say.

Sources: Murphy and Winkler, "Reliability of subjective probability forecasts", JRSS C 26, 1977 (reliability bins);
Naeini, Cooper and Hauskrecht, "Obtaining well calibrated probabilities", AAAI 2015 (expected calibration error).
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import orjson

from streamguard.core.losses import Floats, Loss, Mask, losses
from streamguard.core.records import Scalar
from streamguard.profile.feature import is_category
from streamguard.profile.frequent import Frequent
from streamguard.reference.exact import ExactSum

SCORE_BINS = 20
PAIRS_MAX = 256
JUDGED = (Loss.ABSOLUTE, Loss.SQUARED, Loss.LOG_LOSS, Loss.BRIER)


class Calibration:
    """Scores from 0 to 1 by how often the label was the positive class, in twenty bins of equal width.

    >>> calibration = Calibration()
    >>> calibration.add(np.array([0.9, 0.9, 0.1, 0.1]), np.array([True, False, False, False]))
    >>> round(calibration.error, 3)
    0.25
    """

    __slots__ = ("counts", "hits", "sums")

    def __init__(self) -> None:
        self.counts = np.zeros(SCORE_BINS, np.int64)
        self.hits = np.zeros(SCORE_BINS, np.int64)
        self.sums = [ExactSum() for _ in range(SCORE_BINS)]

    def add(self, scores: Floats, is_positive: Mask) -> None:
        """Take scores within [0, 1], and for each whether the label was the positive class."""
        places = np.minimum((scores * SCORE_BINS).astype(np.int64), SCORE_BINS - 1)
        self.counts += np.bincount(places, minlength=SCORE_BINS)
        self.hits += np.bincount(places[is_positive], minlength=SCORE_BINS)
        for place in np.unique(places).tolist():
            self.sums[place].add(scores[places == place])

    def merge(self, other: "Calibration") -> None:
        """Take all that another has taken."""
        self.counts += other.counts
        self.hits += other.hits
        for own, their in zip(self.sums, other.sums, strict=True):
            own.merge(their)

    @property
    def error(self) -> float | None:
        """Expected calibration error: the mean distance of a bin's mean score from its rate, by its share of all."""
        count = int(self.counts.sum())
        off = sum(abs(each.value - hits) for each, hits in zip(self.sums, self.hits.tolist(), strict=True))
        return float(off / count) if count else None


class Outcome:
    """What came of predictions. Merges are exact, but for pairs where there are more than 256 of them.

    `positive` is the label whose probability a score is; None: 1 and true.

    >>> outcome = Outcome(None)
    >>> outcome.add(["a", "b", "a"], ["a", "a", None], None)
    >>> outcome.labelled, outcome.unlabelled, outcome.mismatches
    (2, 1, 1)
    """

    __slots__ = (
        *("calibration", "counts", "incomparable", "labelled", "mismatches", "pairs", "positive", "sums"),
        "unlabelled",
    )

    def __init__(self, positive: Scalar | None) -> None:
        self.positive = positive
        self.labelled = 0
        self.unlabelled = 0
        """Rows in which the prediction, the label or both are no text, number, true or false."""
        self.mismatches = 0
        self.incomparable = 0
        """Mismatches of two kinds, such as a text and a number."""
        self.pairs = Frequent(PAIRS_MAX)
        """By JSON: `[label, prediction]`."""
        self.counts = dict.fromkeys(JUDGED, 0)
        self.sums = {kind: ExactSum() for kind in JUDGED}
        self.calibration = Calibration()

    def add(self, predictions: Sequence[object], labels: Sequence[object], scores: Sequence[object] | None) -> None:
        """Take rows; the columns are of equal length."""
        given = scores if scores is not None else [None] * len(labels)
        rows = [
            row
            for row in zip(predictions, labels, given, strict=True)
            if isinstance(row[0], str | int | float) and isinstance(row[1], str | int | float)
        ]
        self.labelled += len(rows)
        self.unlabelled += len(labels) - len(rows)
        if not rows:
            return
        said, truth, values = (list(column) for column in zip(*rows, strict=True))
        self._judge(said, truth)
        if scores is not None:
            self._score(said, truth, values)

    def merge(self, other: "Outcome") -> None:
        """Take all that another has taken, which is left as it is; of the same positive class."""
        for name in ("labelled", "unlabelled", "mismatches", "incomparable"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.pairs.merge(other.pairs)
        for kind in JUDGED:
            self.counts[kind] += other.counts[kind]
            self.sums[kind].merge(other.sums[kind])
        self.calibration.merge(other.calibration)

    def mean(self, kind: Loss) -> float | None:
        """The mean loss of the rows for which it is defined; None where there are none."""
        return float(self.sums[kind].value / self.counts[kind]) if self.counts[kind] else None

    def _judge(self, said: list[Scalar], truth: list[Scalar]) -> None:
        """By the predictions alone."""
        differs, is_comparable = losses(Loss.MISMATCH, said, truth)
        self.mismatches += int(differs.sum())
        self.incomparable += int(np.count_nonzero(~is_comparable))
        pairs = Counter(zip(map(type, truth), truth, map(type, said), said, strict=True))
        self.pairs.add(
            {
                orjson.dumps([label, answer]).decode(): count
                for (_, label, _, answer), count in pairs.items()
                if _is_class(label) and _is_class(answer)
            }
        )
        for kind in (Loss.ABSOLUTE, Loss.SQUARED):
            self._sum(kind, *losses(kind, said, truth))

    def _score(self, said: list[Scalar], truth: list[Scalar], scores: list[float]) -> None:
        for kind in (Loss.LOG_LOSS, Loss.BRIER):
            self._sum(kind, *losses(kind, said, truth, scores, self.positive))
        values = np.array([each if type(each) in (int, float) else np.nan for each in scores], np.float64)
        # The Brier loss of a score of 0 is 1 where the label is the positive class, and else 0.
        hits, is_known = losses(Loss.BRIER, said, truth, [0.0] * len(truth), self.positive)
        is_usable = is_known & (values >= 0.0) & (values <= 1.0)
        self.calibration.add(values[is_usable], hits[is_usable] == 1.0)

    def _sum(self, kind: Loss, values: Floats, is_defined: Mask) -> None:
        self.counts[kind] += int(np.count_nonzero(is_defined))
        self.sums[kind].add(values[is_defined])


def _is_class(value: Scalar) -> bool:
    """Whether a value can be one of a few: numbers with a fraction are measures."""
    return not isinstance(value, float) and is_category(value)
