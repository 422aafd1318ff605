"""Records of the alerts topic: which are alerts, and that no other does any harm."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.handlers.alert import Alert, read_alert
from streamguard.handlers.functions import on_alert
from streamguard.logs.interface import Record
from tests.contract.examples import EXAMPLES
from tests.handlers.helpers import ALERT, RETRY, Place, made, subscribed
from tests.handlers.samples import improved, raised, resolved, silent, updated

ANY: tuple[Any, ...] = (5, None, [])
WRONG: list[tuple[str, Any]] = [
    *((name, value) for name in ("id", "episode", "status", "kind", "severity", "monitor") for value in ANY),
    *((name, {}) for name in ("model", "version", "direction", "guarantee", "resolution", "onset")),
    *((name, value) for name in ("event_time", "onset") for value in (7, "soon", "2026-01-05T00:00:00", "2026-01-05")),
    ("event_time", "0001-01-01T00:00:00+14:00"),
    ("segment", None),
    ("segment", {"country": 7}),
    ("before", {"interval": None, "count": 1}),
    ("before", {"rate": "0.1", "interval": None, "count": 1}),
    ("after", {"rate": 0.1, "interval": [0.1], "count": 1}),
    ("after", [0.1]),
    ("check", None),
    ("check", {"type": 7}),
    ("look_first", "this"),
    ("look_first", [7]),
    ("examples", [None]),
    ("absorbed", "many"),
    ("duration_s", "long"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_field_of_another_type_makes_it_no_alert(name: str, value: Any) -> None:
    """Told by the name of the field, without what stands there."""
    with pytest.raises(ValueError, match=rf"^not an alert: {name}[.:\w ]") as caught:
        read_alert(orjson.dumps({**ALERT, name: value}))
    assert "soon" not in str(caught.value)


@pytest.mark.parametrize("name", [name for name in ALERT if name not in {"labels", "classes", "segments", "source"}])
def test_a_field_that_is_missing_makes_it_no_alert(name: str) -> None:
    """None may be absent, as the contract says."""
    with pytest.raises(ValueError, match=f"^not an alert: {name}: "):
        read_alert(orjson.dumps({key: value for key, value in ALERT.items() if key != name}))


@pytest.mark.parametrize(
    "value", [None, b"", b"\xff", b"{", b"7", b"[]", b'{"specversion": "1.0"}', b'"\\ud800"', b"[" * 100_000]
)
def test_what_is_no_json_object_is_no_alert(value: bytes | None) -> None:
    """Whatever bytes they are; a lone surrogate is none."""
    with pytest.raises(ValueError, match=r"^not an alert: "):
        read_alert(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(list(ALERT)), JSON, max_size=3))
def test_it_is_an_alert_or_none(changes: dict[str, Any]) -> None:
    """Nothing else comes of it, and of what is one all is known that people are told."""
    try:
        alert = read_alert(orjson.dumps({**ALERT, **changes}))
    except ValueError as error:
        assert str(error).startswith("not an alert: ")  # noqa: PT017 - either is right
    else:
        assert alert.title
        assert list(alert.look_first) == alert.data["look_first"]


def test_what_later_releases_add_is_passed_over() -> None:
    """At any depth."""
    before = {**ALERT["before"], "more": 1}
    alert = read_alert(orjson.dumps({**ALERT, "before": before, "more": {}, "kind": "new", "check": {"type": "new"}}))
    assert (alert.kind, alert.data["before"]) == ("new", before)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.json")), ids=lambda path: path.stem)
def test_every_example_is_read(path: Path) -> None:
    """Notices are those that no other status follows: improvements, and what is only raised."""
    alert = read_alert(path.read_bytes())
    assert alert.is_notice == (alert.severity == "info" or alert.kind == "segments_full")


def test_what_is_a_notice() -> None:
    """A recovery is better, too, but ends something."""
    samples = (raised(), updated(), resolved(direction="better"), silent(), improved(), raised(kind="segments_full"))
    assert [each.is_notice for each in samples] == [False, False, False, False, True, True]


def test_no_record_stops_a_handler(place: Place) -> None:
    """Each that is no alert is passed over, alone or in a group, and all others are told."""
    told: dict[str, list[str]] = {"alone": [], "together": []}

    def handler(name: str, **settings: Any) -> Any:
        @on_alert(name=name, start="earliest", retry=RETRY, **settings)
        def tell(alert: Alert) -> None:
            told[name].append(alert.id)

        return tell

    strange = [orjson.dumps({**made(number), name: value}) for number, (name, value) in enumerate(WRONG)]
    place.publish(made(900))
    place.log.append([Record("alerts", b"e", value) for value in (*strange, b"\xff", b"[]", None)])
    place.publish(made(901))
    handlers = [handler("alone"), handler("together", group={"wait": "50ms"})]
    with subscribed(place, handlers) as wait:
        wait(lambda: all(len(each) == 2 for each in told.values()))
    assert {name: sorted(ids) for name, ids in told.items()} == dict.fromkeys(
        told, sorted(made(number)["id"] for number in (900, 901))
    )
    assert place.dead() == []
