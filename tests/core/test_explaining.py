"""Which segments explain a change of the whole."""

from streamguard.core.explaining import leading, told
from streamguard.core.history import Mean


def test_a_segment_counts_by_how_much_worse_it_is_and_how_much_traffic_it_has() -> None:
    """DE doubles with most of the traffic, and AT is ten times worse with little."""
    levels = [
        ({"country": "DE"}, Mean(8000, 400), Mean(800, 80)),
        ({"country": "AT"}, Mean(200, 10), Mean(20, 10)),
        ({"country": "FR"}, Mean(1800, 90), Mean(180, 9)),
    ]
    found = leading(levels)
    assert [(each["segment"]["country"], each["share"]) for each in found] == [("DE", 0.816)]
    assert told(found[0]) == "82% of it: country=DE (5.0% -> 10.0%)"


def test_a_segment_that_is_new_counts_with_all_it_has() -> None:
    """It has no level before."""
    levels = [({"v": "1"}, Mean(1000, 50), Mean(500, 25)), ({"v": "2"}, Mean(), Mean(500, 200))]
    (only,) = leading(levels)
    assert (only["segment"], only["before"]) == ({"v": "2"}, None)
    assert told(only) == "100% of it: v=2 (new)"


def test_nothing_explains_what_has_no_before() -> None:
    """Nor what did not grow."""
    assert leading([]) == []
    assert leading([({"v": "1"}, Mean(), Mean(10, 5))]) == []
    assert leading([({"v": "1"}, Mean(100, 50), Mean(100, 10))]) == []
