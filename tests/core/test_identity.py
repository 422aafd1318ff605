"""Which rows of a column have the same object."""

import numpy as np

from streamguard.core.codec import objects
from streamguard.core.identity import distinct


def test_the_same_object_has_one_number_in_the_order_of_meeting() -> None:
    """The order is the records', not the memory's: segments are numbered by it."""
    parts = [("a", each) for each in range(50)]
    rows = np.random.default_rng(3).integers(0, 50, 500).tolist()
    found, numbers = distinct(objects([parts[row] for row in rows]))
    assert [found[number] for number in numbers] == [parts[row] for row in rows]
    assert found == [parts[row] for row in dict.fromkeys(rows)]


def test_what_only_equals_is_told_apart() -> None:
    """A label 1 must not come back as true."""
    found, numbers = distinct(objects([1, True, 1.0, None, True]))
    assert [repr(each) for each in found] == ["1", "True", "1.0", "None"]
    assert numbers.tolist() == [0, 1, 2, 3, 1]


def test_columns_that_are_views_and_empty_ones_are_read_right() -> None:
    """A column may be every second row of another."""
    column = objects(["x", "y", "x", "z"])
    assert distinct(column[::2])[0] == ["x"]
    found, numbers = distinct(column[:0])
    assert (found, numbers.tolist()) == ([], [])
