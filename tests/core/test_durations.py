import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from streamguard.core.durations import DurationMs, format_duration_ms, parse_duration_ms


class Settings(BaseModel):
    """A model with a duration, as a config has it."""

    pause: DurationMs = 1_000


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("0s", 0),
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("7d", 604_800_000),
        ("1w", 604_800_000),
        ("1h30m", 5_400_000),
        ("1m1ms", 60_001),
        (" 5s ", 5_000),
        (1_500, 1_500),
    ],
)
def test_every_documented_form_is_read(text: str | int, duration_ms: int) -> None:
    """A user may write any of the forms that the error message promises."""
    assert parse_duration_ms(text) == duration_ms


@pytest.mark.parametrize("text", ["", "90", "1.5h", "-1s", "30m1h", "1h1h", "1 h", "h", "1y", True, None, 1.5])
def test_any_other_form_is_refused_with_the_known_ones(text: str) -> None:
    """A bare number has no unit, and a guess would be wrong by a thousand."""
    with pytest.raises(ValueError, match="is not a duration such as") as caught:
        parse_duration_ms(text)
    assert "1h30m" in str(caught.value)


@pytest.mark.parametrize("text", [-1, "36526d", "99999999999999999999w"])
def test_a_duration_stays_within_a_hundred_years(text: str | int) -> None:
    """Event time plus any duration has to fit into 64 bits."""
    with pytest.raises(ValueError, match="outside 0s to 36525d"):
        parse_duration_ms(text)


@given(st.integers(0, 36_525 * 86_400_000))
def test_what_is_written_is_read_back(duration_ms: int) -> None:
    """A config that was printed and loaded again is the same config."""
    assert parse_duration_ms(format_duration_ms(duration_ms)) == duration_ms


def test_a_model_takes_text_and_writes_text() -> None:
    """Python sees milliseconds, and people never do."""
    settings = Settings.model_validate({"pause": "1h30m"})
    assert settings.pause == 5_400_000
    assert settings.model_dump_json() == '{"pause":"1h30m"}'
    with pytest.raises(ValidationError, match="is not a duration such as"):
        Settings.model_validate({"pause": "90"})


def test_the_schema_shows_an_editor_what_to_write() -> None:
    """An editor flags `1.5h` while it is typed, and the default passes the schema it stands in."""
    shown = Settings.model_json_schema()["properties"]["pause"]
    assert shown["type"] == ["string", "integer"]
    assert "1h30m" in shown["examples"]
    assert shown["default"] == 1_000
