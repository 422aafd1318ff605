"""The document: exact, of one version, and without rows."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.errors import ConfigError
from streamguard.profile import Profile, build
from tests.profile.helpers import JSON

CARD = "4929-1111-2222-3333"
ROWS: list[dict[str, Any]] = [
    {"age": 20 + n % 50, "note": f"Call {n}", "card": CARD if n == 7 else f"n{n % 3}"} for n in range(100)
]


@pytest.fixture(scope="module")
def document() -> Any:
    """A profile's, to damage."""
    return orjson.loads(build(ROWS, text=["note"], name="p").dump())


@given(st.lists(st.dictionaries(st.sampled_from("abc"), JSON), min_size=1, max_size=20))
def test_a_profile_is_read_as_it_was_written(rows: list[dict[str, Any]]) -> None:
    """Byte for byte, whatever it is of."""
    written = build([orjson.dumps(row) for row in rows], text=["a"] if any("a" in row for row in rows) else []).dump()
    assert Profile.parse(written, "here").dump() == written


def test_rare_values_are_not_in_it() -> None:
    """Neither those of categories nor words."""
    written = build(ROWS, text=["note"]).dump()

    assert CARD.encode() not in written
    assert b"Call" not in written
    assert b'"n1"' in written


def test_a_text_field_can_be_asked_for_coverage() -> None:
    """Words of other texts that these texts had, by how often they occur."""
    text = build(ROWS, text=["note"]).features["note"].text
    assert text is not None

    assert text.coverage(row["note"] for row in ROWS) == 1
    assert text.coverage(["Call 7, Call", "call 107"]) == 0.6
    assert text.coverage(["?!"]) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"v": 2}, r"is a profile of version 2, and this streamguard reads 1\. Build it again"),
        ({"v": None}, "is a profile of version None"),
        ({"rows": "100"}, "is a damaged profile: rows: Input should be a valid integer"),
        ({"rows": 0}, "is a damaged profile: rows: Input should be greater"),
        ({"more": 1}, "is a damaged profile: more: Extra inputs"),
        ({"features": {"a": {}}}, r"is a damaged profile: features\.a\.kinds: Field required"),
    ],
)
def test_what_is_no_profile_of_this_version_is_refused(document: Any, change: dict[str, Any], message: str) -> None:
    """With the place, and what to do."""
    with pytest.raises(ConfigError, match=f"here: {message}"):
        Profile.parse(orjson.dumps({**document, **change}), "here")


def test_damaged_bins_and_filters_are_refused(document: Any) -> None:
    """They are text only to be short."""
    damaged = orjson.loads(orjson.dumps(document))
    damaged["features"]["age"]["numbers"]["log_bins"] = "1:2 3"
    with pytest.raises(ConfigError, match=r"features\.age\.numbers\.log_bins: Value error"):
        Profile.parse(orjson.dumps(damaged), "here")
    damaged = orjson.loads(orjson.dumps(document))
    damaged["features"]["note"]["text"]["words"]["filter"] = "AAAA"
    with pytest.raises(ConfigError, match=r"filter: Value error, has 3 bytes, and must have 65536"):
        Profile.parse(orjson.dumps(damaged), "here")


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}", b'{"v": 1}'])
def test_other_files_are_no_profiles(data: bytes, tmp_path: Path) -> None:
    """Said with the file's name."""
    path = tmp_path / "p.json"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=r"p\.json: is no profile"):
        Profile.load(path)
    with pytest.raises(ConfigError, match=r"none\.json: cannot be read: No such file"):
        Profile.load(tmp_path / "none.json")
