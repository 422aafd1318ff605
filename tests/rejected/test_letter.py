"""What a rejected record says of itself, and what of that was its own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.core.records import Batch, Headers, TopicPartition
from streamguard.rejected.letter import Origin, letters
from tests.rejected.helpers import LETTERS, NOW_MS, letter, output

HEADERS = st.lists(st.tuples(st.sampled_from(["h", "__connect.errors.topic", "streamguard.timestamp"]), st.binary()))


@given(headers=HEADERS, key=st.none() | st.binary(), value=st.none() | st.binary(), at_ms=st.integers(-1, 2**40))
def test_what_was_rejected_is_had_back(headers: Headers, key: bytes | None, value: bytes | None, at_ms: int) -> None:
    """Also where the record had such headers before, as from another system's dead letters."""
    found = letter(value, "why", key=key, headers=headers, at_ms=at_ms)
    assert (found.key, found.value, found.headers) == (key, value, tuple(headers))
    assert (found.origin, found.reason, found.original_ms) == (Origin("predictions", 1, 600), "why", at_ms)
    assert (found.place, found.left_out_bytes, found.replayed) == ("letters-2@0", None, None)


@given(st.lists(st.tuples(st.sampled_from([name for name, _ in output(b"").headers]), st.none() | st.binary())))
def test_no_headers_make_it_raise(headers: Headers) -> None:
    """On the topic may be anything that a stranger has written there."""
    (found,) = letters(Batch(LETTERS, [5], [NOW_MS], [None], [b"x"], [headers], 6))
    assert found.value == b"x"
    assert found.origin is None or found.origin.partition >= 0


@pytest.mark.parametrize("text", ["", "x", "-1", "1_0", "\uff19", "9" * 40, "1.0"])
def test_a_partition_that_is_no_number_is_none(text: str) -> None:
    """Nothing is sent to a place that was guessed."""
    headers = [(name, text.encode() if name.endswith("partition") else value) for name, value in output(b"").headers]
    (found,) = letters(Batch(LETTERS, [5], [NOW_MS], [None], [b"x"], [headers], 6))
    assert found.origin is None


def test_records_of_before_have_the_time_of_their_rejection() -> None:
    """They were written without a header for it."""
    headers = [pair for pair in output(b"", source=TopicPartition("labels", 0)).headers if pair[0][0] == "_"]
    (found,) = letters(Batch(LETTERS, [5], [NOW_MS + 7], [None], [b"x"], [headers], 6))
    assert found.original_ms == NOW_MS + 7
