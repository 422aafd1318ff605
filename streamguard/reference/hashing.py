"""Hashes that are the same in every process and on every machine, and estimates of how many values are distinct."""

import hashlib
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from streamguard.reference.exact import Floats

Hashes = NDArray[np.uint64]


def hashes_of_texts(texts: Iterable[str]) -> Hashes:
    """64 bits of BLAKE2b for each; lone surrogates are taken as they are."""
    digests = [hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest() for text in texts]
    return np.frombuffer(b"".join(digests), "<u8").astype(np.uint64)


def hashes_of_numbers(values: Floats) -> Hashes:
    """64 bits for each; equal numbers have equal ones, of either sign of zero.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (the finalizer).
    """
    mixed = (values + 0.0).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    found: Hashes = mixed ^ (mixed >> np.uint64(31))
    return found


class Distinct:
    """About how many distinct values there were: a HyperLogLog of `2 ** bits` bytes.

    The standard error is 1.04 / sqrt(2 ** bits): 3.3% at 10 bits. Merges are exact.
    Sources: Flajolet et al., "HyperLogLog", AofA 2007; Ertl, "New cardinality estimation algorithms for HyperLogLog
    sketches", arXiv:1702.01284, algorithm 6 (the estimate).

    >>> distinct = Distinct()
    >>> distinct.add(hashes_of_texts(["a", "b", "a"]))
    >>> distinct.estimate()
    2
    """

    __slots__ = ("_bits", "registers")

    def __init__(self, bits: int = 10) -> None:
        self._bits = bits
        self.registers = np.zeros(1 << bits, np.uint8)

    def add(self, hashes: Hashes) -> None:
        """Take values by their hashes."""
        width = 64 - self._bits
        places = (hashes >> np.uint64(width)).astype(np.int64)
        rest = hashes & np.uint64((1 << width) - 1)
        # How many bits there are up to the last one: its float64 may round up to a power of two, so in two parts.
        high = np.frexp((rest >> np.uint64(32)).astype(np.float64))[1]
        low = np.frexp((rest & np.uint64(0xFFFFFFFF)).astype(np.float64))[1]
        ranks = width + 1 - np.where(high > 0, high + 32, low)
        found = np.bincount(places * 64 + ranks, minlength=len(self.registers) * 64).reshape(-1, 64)
        largest = np.where(found.any(axis=1), 63 - np.argmax(found[:, ::-1] > 0, axis=1), 0)
        self.registers = np.maximum(self.registers, largest.astype(np.uint8))

    def merge(self, other: "Distinct") -> None:
        """Take what another has taken; of as many bits."""
        self.registers = np.maximum(self.registers, other.registers)

    def estimate(self) -> int:
        """How many distinct values there were, about."""
        size = len(self.registers)
        ranks_max = 64 - self._bits + 1
        counts = np.bincount(self.registers, minlength=ranks_max + 1).tolist()
        if counts[0] == size:
            return 0
        if counts[ranks_max] == size:
            return 1 << 64
        total = size * _tau(1 - counts[ranks_max] / size)
        for rank in range(ranks_max - 1, 0, -1):
            total = 0.5 * (total + counts[rank])
        total += size * _sigma(counts[0] / size)
        return round(size * size / (2 * math.log(2)) / total)


def _sigma(part: float) -> float:
    """Of the registers that are still empty; below 1."""
    weight, total, before = 1.0, part, -1.0
    while total != before:
        part *= part
        before = total
        total += part * weight
        weight += weight
    return total


def _tau(part: float) -> float:
    """Of the registers that are not full."""
    if part in (0.0, 1.0):
        return 0.0
    weight, total, before = 1.0, 1 - part, -1.0
    while total != before:
        part = math.sqrt(part)
        before = total
        weight *= 0.5
        total -= (1 - part) ** 2 * weight
    return total / 3
