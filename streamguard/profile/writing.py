"""From what was counted to the document that says it."""

from collections.abc import Mapping
from typing import Any

import orjson

from streamguard.core.fields import Path
from streamguard.core.losses import Loss
from streamguard.profile import feature, numbers, outcome, texts
from streamguard.profile.feature import Kinds
from streamguard.profile.frequent import Frequent
from streamguard.profile.outcome import SCORE_BINS
from streamguard.reference import parts
from streamguard.reference.bins import Ints
from streamguard.reference.parts import counts_text

QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
BOOLEANS = ("true", "false")


def features(found: Mapping[Path, feature.Feature], rows: int, min_count: int) -> dict[str, parts.Feature]:
    """By dotted path, in their order."""
    return {".".join(path): described(each, rows, min_count) for path, each in sorted(found.items())}


def described(found: feature.Feature, rows: int, min_count: int) -> parts.Feature:
    """One feature, of so many rows."""
    kinds = found.kinds
    missing = rows - kinds.count + kinds.null + kinds.nan
    distinct, is_exact = found.distinct_count
    is_plain = bool(kinds.text) and found.texts is None
    has_categories = is_plain or bool(kinds.integer and found.categories.capacity)
    return parts.Feature(
        kinds=_kinds(kinds),
        missing=missing,
        missing_rate=missing / rows,
        distinct=distinct,
        distinct_is_exact=is_exact,
        numbers=_numbers(found.numbers, found.beyond_exact) if found.numbers.count else None,
        booleans=parts.Booleans(true=kinds.true, false=kinds.false) if kinds.true or kinds.false else None,
        categories=_categories(found, min_count) if has_categories else None,
        patterns=_patterns(found.patterns, min_count) if is_plain else None,
        length=_length(found),
        text=_text(found.texts) if found.texts is not None and kinds.text else None,
    )


def judged(found: outcome.Outcome, min_count: int) -> parts.Outcome:
    """What came of predictions."""
    means: dict[Loss, float | None] = {kind: found.mean(kind) for kind in outcome.JUDGED}
    return parts.Outcome(
        labelled=found.labelled,
        unlabelled=found.unlabelled,
        mismatch_rate=found.mismatches / found.labelled if found.labelled else None,
        incomparable=found.incomparable,
        losses={kind.value: mean for kind, mean in means.items() if mean is not None},
        confusion=[_confusion(str(key), count) for key, count in found.pairs.ranked(min_count)],
        confusion_error=found.pairs.error,
        calibration=_calibration(found.calibration),
    )


def _kinds(kinds: Kinds) -> dict[str, int]:
    counts = {name: getattr(kinds, name) for name in kinds.__slots__ if name not in BOOLEANS}
    counts["boolean"] = kinds.true + kinds.false
    return {name: count for name, count in counts.items() if count}


def _numbers(found: numbers.Numbers, beyond_exact: int) -> parts.Numbers:
    is_some = found.count > 0
    return parts.Numbers(
        count=found.count,
        zeros=found.log.zeros,
        negative=found.negative,
        beyond_exact=beyond_exact,
        min=found.low if is_some else None,
        max=found.high if is_some else None,
        mean=found.mean,
        sd=found.deviation,
        quantiles={str(part): found.quantile(part) for part in QUANTILES} if is_some else {},
        log_bins=counts_text(found.log.by_key()),
        near_zero=found.log.near,
        equal_bins=counts_text(found.equal.by_number()),
        equal_width_log2=found.equal.width_log2,
    )


def _categories(found: feature.Feature, min_count: int) -> parts.Categories:
    kept = found.categories
    values = [parts.Category(value=key, count=count) for key, count in kept.ranked(min_count)]
    other = kept.total - sum(each.count for each in values)
    return parts.Categories(values=values, other=other, long=found.long, unpaired=found.unpaired, error=kept.error)


def _patterns(found: Frequent, min_count: int) -> list[parts.Pattern]:
    return [parts.Pattern(pattern=str(key), count=count) for key, count in found.ranked(min_count)]


def _length(found: feature.Feature) -> parts.Length | None:
    if found.shortest is None or found.longest is None:
        return None
    return parts.Length(min=found.shortest, max=found.longest, mean=found.characters / found.kinds.text)


def _text(found: texts.Texts) -> parts.Text:
    words = found.words
    return parts.Text(
        empty=found.empty,
        characters=found.characters,
        length=_numbers(found.lengths, 0),
        rates={name: _rate(each, found.characters) for name, each in found.rates.items()},
        words=parts.Words(
            count=words.count,
            distinct=words.distinct.estimate(),
            buckets=counts_text(_filled(words.buckets)),
            filter=None if words.filter is None else words.filter.encoded(),
            mistaken=None if words.filter is None else words.filter.mistaken,
        ),
    )


def _rate(found: texts.Rate, characters: int) -> parts.Rate:
    return parts.Rate(
        rate=found.characters / characters if characters else 0.0,
        texts=found.texts,
        bins=counts_text(_filled(found.bins)),
    )


def _filled(counts: Ints) -> dict[int, int]:
    return {place: count for place, count in enumerate(counts.tolist()) if count}


def _confusion(key: str, count: int) -> parts.Confusion:
    pair: list[Any] = orjson.loads(key)
    return parts.Confusion(label=pair[0], prediction=pair[1], count=count)


def _calibration(found: outcome.Calibration) -> parts.Calibration | None:
    error = found.error
    if error is None:
        return None
    counts, hits = found.counts.tolist(), found.hits.tolist()
    return parts.Calibration(
        count=sum(counts),
        expected_error=error,
        bins=[
            parts.Reliability(
                above=place / SCORE_BINS,
                count=counts[place],
                mean_score=float(found.sums[place].value / counts[place]),
                positive_rate=hits[place] / counts[place],
            )
            for place in range(SCORE_BINS)
            if counts[place]
        ],
    )
