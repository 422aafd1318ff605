"""Which rows of a column of objects have the same object."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Objects = NDArray[np.object_]
Ints = NDArray[np.int64]


def distinct(column: Objects) -> tuple[list[Any], Ints]:
    """The different objects in the order in which they are met, and the number of each row's.

    By identity: 1, 1.0 and True are equal, and are not the same. Two objects may be equal and told apart.
    """
    addresses = np.asarray(_Addresses(column))
    ordered = np.sort(addresses)
    known = ordered[np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))]
    codes = np.searchsorted(known, addresses)
    # Of what is assigned to one place more than once the last stays: here the first row.
    firsts = np.empty(len(known), np.int64)
    firsts[codes[::-1]] = np.arange(len(column) - 1, -1, -1)
    order = np.argsort(firsts)
    numbers = np.empty(len(known), np.int64)
    numbers[order] = np.arange(len(known))
    return column[firsts[order]].tolist(), numbers[codes]


class _Addresses:
    """What `id` says of each object: NumPy keeps just that in an array of objects.

    A call of `id` for each costs as much as all that is done with what it says.
    """

    def __init__(self, column: Objects) -> None:
        # Kept for as long as the array that stands on its memory.
        self._column = np.ascontiguousarray(column)
        self.__array_interface__ = {**self._column.__array_interface__, "typestr": "<i8", "descr": None}
