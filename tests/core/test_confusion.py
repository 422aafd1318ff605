"""Which class is taken for which, before and of late."""

import orjson

from streamguard.core.confusion import Confusion


def of(*stretches: tuple[int, dict[int, tuple[str, str]]]) -> Confusion:
    """Stretches of so many outcomes; in each the place of every n-th mistake: predicted, labelled."""
    found = Confusion()
    for count, kinds in stretches:
        mistakes = [
            (place, place, f"r{place}", *pair)
            for place in range(count)
            for every, pair in kinds.items()
            if place % every == 0
        ]
        found.add(count, mistakes)
    return found


def test_the_kind_of_mistake_that_grew_is_told_with_its_share() -> None:
    """One in 50 was a fraud not seen; of late one in 10 is also a false alarm, and that explains the rise."""
    usual, new = ("legit", "fraud"), ("fraud", "legit")
    found = of((5000, {50: usual}), (420, {50: usual, 10: new}))
    (only,) = found.classes()
    assert (only["predicted"], only["labelled"]) == ("fraud", "legit")
    assert only["before"] == 0.0
    assert 0.09 < only["after"] < 0.11
    assert only["share"] > 0.9


def test_what_is_of_late_begins_with_the_onset() -> None:
    """Of the last fifty mistakes most may be from before it."""
    found = Confusion()
    found.add(1000, [(place, place, "r", "legit", "fraud") for place in range(0, 1000, 25)])
    found.add(30, [(place, 5000 + place, "r", "fraud", "legit") for place in range(0, 30, 2)])
    assert [(each["predicted"], each["share"]) for each in found.classes(5000)] == [("fraud", 1.0)]
    assert found.classes(5000)[0]["before"] == 0.0
    # With fewer than ten since, all of the fifty are of late.
    assert found.classes(5025) == found.classes()


def test_classes_that_grow_alike_are_told_both() -> None:
    """The one that grew most comes first."""
    found = of((4000, {100: ("a", "b"), 90: ("b", "a")}), (400, {20: ("a", "b"), 15: ("b", "a")}))
    assert [each["predicted"] for each in found.classes()] == ["b", "a"]


def test_nothing_is_told_where_nothing_grew() -> None:
    """Of no mistakes there is no class; and the first ones have no level before them."""
    assert Confusion().classes() == []
    (first,) = of((40, {10: ("a", "b")})).classes()
    assert first["before"] is None


def test_types_are_told_apart() -> None:
    """A number 1 and the text 1 are two classes."""
    found = Confusion()
    found.add(100, [(90, 0, "r1", 1, 0), (91, 0, "r2", "1", "0"), (92, 0, "r3", 1, 0)])
    assert [each["predicted"] for each in found.classes()] == [1, "1"]


def test_it_goes_on_from_its_state() -> None:
    """Through JSON, and cut anywhere."""
    whole = of((500, {7: ("a", "b"), 11: ("b", "a")}))
    parts = Confusion()
    mistakes = [
        (place, place, f"r{place}", *pair)
        for place in range(500)
        for every, pair in ((7, ("a", "b")), (11, ("b", "a")))
        if place % every == 0
    ]
    for start in range(0, 500, 50):
        parts.add(50, [(place - start, *rest) for place, *rest in mistakes if start <= place < start + 50])  # type: ignore[misc]
        parts = Confusion(orjson.loads(orjson.dumps(parts.snapshot())))
    assert parts.snapshot() == whole.snapshot()
    assert parts.classes() == whole.classes()
    assert parts.examples(2) == whole.examples(2)


def test_kinds_beyond_a_limit_are_forgotten() -> None:
    """A model of a thousand classes must not fill the state."""
    found = Confusion()
    found.add(2000, [(place, 0, "r", f"c{place}", "x") for place in range(2000)])
    assert len(found.snapshot()["usual"]) == 64
