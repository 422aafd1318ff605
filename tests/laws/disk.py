"""A disk as a dictionary."""

from collections.abc import Collection, Iterable

from streamguard.core.cold import LAST, Ints


class MemoryDisk:
    """Pieces and a stamp, as a `Disk` keeps them; what is not named by the last stamp is gone at once."""

    def __init__(self) -> None:
        self.pieces: dict[tuple[int, int], bytes] = {}
        self.kept: bytes | None = None
        self._next = 1

    def put(self, blocks: Iterable[bytes], *, last: bytes | None = None) -> int:
        """Write a piece."""
        number = self._next
        self._next += 1
        self.pieces |= {(number, place): block for place, block in enumerate(blocks)}
        if last is not None:
            self.pieces[number, LAST] = last
        return number

    def get(self, numbers: Ints, blocks: Ints) -> list[bytes]:
        """Some blocks."""
        return [self.pieces[key] for key in zip(numbers.tolist(), blocks.tolist(), strict=True)]

    def stamp(self) -> bytes | None:
        """What was kept last."""
        return self.kept

    def keep(self, stamp: bytes, numbers: Collection[int]) -> None:
        """Keep these pieces, and no others."""
        self.kept = stamp
        self.pieces = {key: block for key, block in self.pieces.items() if key[0] in numbers}

    def clear(self) -> None:
        """Keep nothing."""
        self.kept = None
        self.pieces = {}
