"""What a reader of a profile should know: what could not be said of the data, and what is odd about them."""

from collections.abc import Iterator, Mapping

from streamguard.profile.population import Population
from streamguard.reference.parts import Feature


def remarks(found: Population, features: Mapping[str, Feature]) -> list[str]:
    """One sentence each."""
    return [*_of_rows(found), *(f"{name}: {each}" for name, of in features.items() for each in _of_feature(of, found))]


def _of_rows(found: Population) -> Iterator[str]:
    if found.unreadable:
        yield f"{found.unreadable:,} rows are no JSON objects, and were left out."
    if found.loose:
        yield (
            f"{found.loose:,} rows hold NaN, infinities or lone surrogates, which are no JSON: a worker would reject"
            " such records."
        )
    for name, feature in found.answers.items():
        if not feature.kinds.count:
            yield f"No row has the field {'.'.join(found.plan.answers[name])}, which is the {name}."
    outcome = found.outcome
    if outcome is not None and found.plan.score is not None and outcome.calibration.error is None:
        positive = "1 and true" if found.plan.positive is None else repr(found.plan.positive)
        yield (
            "Calibration is not known: no row has a score from 0 to 1, and a label of the kind of the positive class,"
            f" which is {positive}."
        )


def _of_feature(feature: Feature, found: Population) -> Iterator[str]:
    kinds = {name: count for name, count in feature.kinds.items() if name not in {"null", "nan", "infinite"}}
    if feature.missing == found.rows:
        yield "all values are missing."
    elif not kinds:
        yield "no value is a finite number, a text or any other."
    elif feature.distinct == 1 and feature.distinct_is_exact and not {"list", "object"} & kinds.keys():
        yield "has one value only."
    if len(kinds.keys() - {"integer", "number"}) + bool({"integer", "number"} & kinds.keys()) > 1:
        told = ", ".join(f"{count:,} of {name}" for name, count in kinds.items())
        yield f"has values of several kinds: {told}."
    if feature.kinds.get("infinite"):
        yield f"{feature.kinds['infinite']:,} values are infinite, and in no figure of numbers."
    if feature.numbers is not None and feature.numbers.beyond_exact:
        yield f"{feature.numbers.beyond_exact:,} whole numbers are of 2^53 or more, and taken as the nearest float."
    if feature.numbers is not None and feature.numbers.sd is None:
        yield "numbers beyond 1e150 have no standard deviation that a float can say."
    if feature.categories is not None and feature.categories.error and "text" in kinds:
        yield (
            f"about {feature.distinct:,} distinct values: counts of the frequent ones are too low by at most "
            f"{feature.categories.error:,}."
        )
    if feature.categories is not None and feature.categories.unpaired:
        yield f"{feature.categories.unpaired:,} texts hold lone surrogates, and are not named."
