"""Which input offsets lie behind a span of event time."""

import orjson

from streamguard.core.outcomes import Outcomes
from streamguard.core.trail import Trail
from tests.core.helpers import outcomes


def rows(start: int, end: int, source: int = 0) -> Outcomes:
    """Outcomes whose time and offsets are their number."""
    return outcomes(range(start, end), [0] * (end - start), start=start, source=source)


def test_ranges_are_by_source() -> None:
    """Least and largest offset of either input, for each input partition."""
    trail = Trail()
    trail.add(rows(5, 9))
    trail.add(rows(3, 7, source=2))
    assert trail.ranges(0, 100) == {"0": [5, 8, 5, 8], "2": [3, 6, 3, 6]}


def test_without_a_label_there_is_no_label_offset() -> None:
    """An outcome that expired adds to the predictions alone."""
    trail = Trail()
    trail.add(outcomes([1, 2], [0, 0], start=5, unlabelled=[0, 1]))
    assert trail.ranges(0, 9) == {"0": [5, 6, -1, -1]}
    trail.add(outcomes([3], [0], start=7))
    assert trail.ranges(0, 9) == {"0": [5, 7, 7, 7]}


def test_the_span_is_covered_to_within_a_pane() -> None:
    """An alert names the offsets that reproduce it, and not the whole topic."""
    trail = Trail()
    trail.add(rows(0, 2560))
    for since, until in ((300, 700), (0, 0), (2559, 2559), (1000, 1999)):
        first, last, *_ = trail.ranges(since, until)["0"]
        assert since - 512 < first <= since
        assert until <= last < until + 512


def test_old_panes_are_merged_with_their_ranges() -> None:
    """Nothing is lost when a pane becomes part of a larger one, from another source too."""
    trail = Trail()
    trail.add(rows(0, 256, source=1))
    trail.add(outcomes(range(256, 512), [0] * 256, start=256, source=1, unlabelled=range(256)))
    trail.add(rows(512, 256 * 20))
    assert trail.ranges(0, 10**6) == {"0": [512, 5119, 512, 5119], "1": [0, 511, 0, 255]}
    assert len(trail.snapshot()["panes"]) < 20


def test_cuts_and_restarts_change_nothing() -> None:
    """Where panes end depends on the number of rows alone."""
    whole, pieces = Trail(), Trail()
    whole.add(rows(0, 3000))
    for start in range(0, 3000, 77):
        pieces.add(rows(start, min(start + 77, 3000)))
        pieces = Trail(orjson.loads(orjson.dumps(pieces.snapshot())))
    assert pieces.snapshot() == whole.snapshot()
