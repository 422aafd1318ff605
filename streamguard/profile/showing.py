"""A profile for people."""

from collections.abc import Callable, Iterator

from rich.console import Console
from rich.table import Table

from streamguard.core.printing import printable
from streamguard.reference.document import Profile
from streamguard.reference.parts import Feature, Outcome, Text

Echo = Callable[[str], None]

_WIDTH = 200
_TOP = 3
_CONFUSION = 8


def show(profile: Profile, echo: Echo) -> None:
    """Print what a profile says."""
    model = " ".join(each for each in (profile.model, profile.version) if each)
    echo(f"{printable(profile.name)}{f' of {printable(model)}' if model else ''}: {profile.rows:,} rows")
    echo(f"made from {printable(profile.made_from)} by streamguard {printable(profile.streamguard)}")
    echo(f"holds: {printable(profile.holds)}")
    for name, why in profile.left_out.items():
        echo(f"left out: {printable(name)} ({printable(why)})")
    echo("")
    answers = {"prediction": profile.prediction, "score": profile.score, "label": profile.label}
    named = [(f"({name})", each) for name, each in answers.items() if each is not None]
    for line in _lines(_features([*profile.features.items(), *named])):
        echo(line)
    texts = [(name, each.text) for name, each in profile.features.items() if each.text is not None]
    if texts:
        echo("")
        for line in _lines(_texts(texts)):
            echo(line)
    if profile.outcome is not None:
        echo("")
        for line in _judged(profile.outcome):
            echo(line)
    if profile.notes:
        echo("")
    for note in profile.notes:
        echo(f"note: {printable(note)}")


def _features(named: list[tuple[str, Feature]]) -> Table:
    table = Table(box=None, header_style="", pad_edge=False)
    table.add_column("feature")
    table.add_column("kinds")
    for name in ("missing", "distinct", "min", "median", "max", "mean", "sd"):
        table.add_column(name, justify="right")
    table.add_column("most frequent")
    for name, each in named:
        kinds = ", ".join(kind for kind in each.kinds if kind != "null") or "-"
        distinct = f"{'' if each.distinct_is_exact else '~'}{each.distinct:,}"
        table.add_row(
            printable(name), kinds, f"{each.missing_rate:.2%}", distinct, *_figures(each), printable(_frequent(each))
        )
    return table


def _figures(feature: Feature) -> Iterator[str]:
    found = feature.numbers
    if found is None:
        yield from ["-"] * 5
        return
    for each in (found.min, found.quantiles.get("0.5"), found.max, found.mean, found.sd):
        yield "-" if each is None else f"{each:.6g}"


def _frequent(feature: Feature) -> str:
    if feature.booleans is not None:
        return f"true {feature.booleans.true:,}, false {feature.booleans.false:,}"
    values = feature.categories.values if feature.categories is not None else []
    # Of a measure that happens to be whole the frequent values say nothing.
    if not values or (feature.numbers is not None and not feature.distinct_is_exact):
        return "-"
    return ", ".join(f"{each.value} {each.count:,}" for each in values[:_TOP])


def _texts(named: list[tuple[str, Text]]) -> Table:
    table = Table(box=None, header_style="", pad_edge=False)
    table.add_column("text")
    for name in ("empty", "length (median)", *next(iter(named))[1].rates, "words", "distinct words"):
        table.add_column(name, justify="right")
    for name, each in named:
        rates = [f"{rate.rate:.2%}" for rate in each.rates.values()]
        length = f"{each.length.quantiles.get('0.5', 0):,.0f}"
        table.add_row(
            printable(name), f"{each.empty:,}", length, *rates, f"{each.words.count:,}", f"~{each.words.distinct:,}"
        )
    return table


def _judged(outcome: Outcome) -> Iterator[str]:
    rate = "" if outcome.mismatch_rate is None else f", {outcome.mismatch_rate:.2%} differ from their labels"
    yield f"predictions: {outcome.labelled:,} with a label{rate}, {outcome.unlabelled:,} without"
    for kind, mean in outcome.losses.items():
        yield f"mean loss, {printable(kind)}: {mean:.6g}"
    if outcome.calibration is not None:
        found = outcome.calibration
        yield f"calibration: expected error {found.expected_error:.4f} over {found.count:,} scores"
    for each in outcome.confusion[:_CONFUSION]:
        yield printable(f"label {each.label} got {each.prediction}: {each.count:,}")
    if len(outcome.confusion) > _CONFUSION:
        yield f"... and {len(outcome.confusion) - _CONFUSION:,} more pairs"


def _lines(table: Table) -> list[str]:
    # Names come from data, whatever brackets they have.
    console = Console(width=_WIDTH, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as captured:
        console.print(table)
    return [line.rstrip() for line in captured.get().splitlines()]
