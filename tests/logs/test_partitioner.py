from hypothesis import given
from hypothesis import strategies as st
from kafka.partitioner.default import murmur2

from streamguard.logs.partitioner import partitions_of


@given(st.lists(st.binary(max_size=40), max_size=30), st.integers(1, 1000))
def test_agrees_with_kafka(keys: list[bytes], count: int) -> None:
    """Every key goes where kafka-python's own partitioner puts it, whatever lengths are mixed."""
    assert partitions_of(keys, count) == [(murmur2(key) & 0x7FFFFFFF) % count for key in keys]
