"""Which partition a key belongs to: Java's murmur2, so that every log agrees with Kafka's own clients.

Hashes all keys of a commit at once, since murmur2 key by key in Python takes longer than writing the record.
Source: org.apache.kafka.common.utils.Utils.murmur2 and BuiltInPartitioner.partitionForKey.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_SEED = 0x9747B28C
_MULTIPLIER = np.uint32(0x5BD1E995)


def partitions_of(keys: Sequence[bytes], count: int) -> list[int]:
    """The partition of each key, of `count` partitions.

    >>> partitions_of([b"req-1", b"req-2", b""], 4)
    [3, 1, 1]
    """
    places: dict[int, list[int]] = {}
    for place, key in enumerate(keys):
        places.setdefault(len(key), []).append(place)
    chosen = np.zeros(len(keys), np.uint32)
    for length, at in places.items():
        same_length = b"".join([keys[place] for place in at])
        # Java's ints are signed: its partitioners clear the sign bit before they divide.
        chosen[at] = (_murmur2(same_length, length, len(at)) & np.uint32(0x7FFFFFFF)) % np.uint32(count)
    result: list[int] = chosen.tolist()
    return result


def _murmur2(joined: bytes, length: int, count: int) -> NDArray[np.uint32]:
    """Hashes of `count` keys, each of `length` bytes, that stand one after another in `joined`."""
    keys = np.frombuffer(joined, np.uint8).reshape(count, length)
    whole = length // 4 * 4
    words = np.ascontiguousarray(keys[:, :whole]).view("<u4")
    hashes = np.full(count, _SEED ^ length, np.uint32)
    for column in range(words.shape[1]):
        word = words[:, column] * _MULTIPLIER
        word = (word ^ (word >> np.uint32(24))) * _MULTIPLIER
        hashes = (hashes * _MULTIPLIER) ^ word
    if length > whole:
        for place in range(whole, length):
            hashes ^= keys[:, place].astype(np.uint32) << np.uint32(8 * (place - whole))
        hashes *= _MULTIPLIER
    hashes = (hashes ^ (hashes >> np.uint32(13))) * _MULTIPLIER
    mixed: NDArray[np.uint32] = hashes ^ (hashes >> np.uint32(15))
    return mixed
