"""A long history in few panes."""

from streamguard.core.panes import Pane, add_pane


def merge(older: Pane, newer: Pane) -> Pane:
    """Panes of (count, first row, last row)."""
    return [older[0] + newer[0], older[1], newer[2]]


def panes_of(count: int) -> list[Pane]:
    """The panes after so many rows, one each."""
    panes: list[Pane] = []
    for row in range(count):
        add_pane(panes, [1, row, row], merge)
    return panes


def test_up_to_eight_of_a_size_stay() -> None:
    """The ninth makes the two oldest one."""
    assert panes_of(8) == [[1, row, row] for row in range(8)]
    assert panes_of(9) == [[2, 0, 1], *([1, row, row] for row in range(2, 9))]


def test_panes_cover_all_rows_in_order_and_grow_with_age() -> None:
    """Nothing is lost, nothing overlaps, and what is recent is fine."""
    for count in (1, 17, 100, 5000):
        panes = panes_of(count)
        assert [pane[1] for pane in panes] == [0, *(pane[2] + 1 for pane in panes[:-1])]
        assert panes[-1][2] == count - 1
        sizes = [pane[0] for pane in panes]
        assert sizes == sorted(sizes, reverse=True)
        assert all(pane[0] == pane[2] - pane[1] + 1 for pane in panes)


def test_the_number_of_panes_grows_with_the_logarithm() -> None:
    """Memory is bounded for streams that never end."""
    assert len(panes_of(50_000)) <= 8 * 16
