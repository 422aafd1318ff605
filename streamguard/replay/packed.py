"""The bytes of text files, packed by gzip or zstd or not at all.

A stream that is cut off or damaged is read up to just there.
"""

import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

from streamguard.errors import ConfigError
from streamguard.replay.sources import BrokenError, utf_16

Chunk = tuple[bytes, int]
"""Bytes, unpacked, and how many bytes of the file on the disk there are up to their end."""

CHUNK_BYTES = 4 << 20
# Small, since what is unpacked from it may be a thousand times as large.
_PACKED_BYTES = 32 << 10
_MARK = b"\xef\xbb\xbf"
_MARKS_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"PAR1": ".parquet"}


class _Unpacking(Protocol):
    """One gzip member or zstd frame, as `zlib` and `zstandard` have it."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def chunks(path: Path) -> Iterator[Chunk]:
    """A file of text, unpacked where its name says that it is packed, about 4 MiB at a time, without a UTF-8 mark.

    Raises `ConfigError` where it cannot be opened or is no UTF-8, and `BrokenError` where it is damaged.
    """
    unpacking = _unpacking(path)
    found = _plain(path) if unpacking is None else _joined(_salvaged(path, *unpacking))
    for number, (chunk, at) in enumerate(found):
        yield (chunk if number else _begun(path, chunk)), at


def opened(path: Path) -> IO[bytes]:
    """The file, to be read; raises `ConfigError`."""
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def _begun(path: Path, chunk: bytes) -> bytes:
    if chunk.startswith(_MARKS_UTF_16):
        raise utf_16(str(path))
    for magic, ending in _MAGIC.items():
        if chunk.startswith(magic):
            raise ConfigError(f"{path}: its bytes are those of a {ending} file: rename it so that it ends in {ending}")
    return chunk.removeprefix(_MARK)


def _plain(path: Path) -> Iterator[Chunk]:
    at = 0
    with opened(path) as file:
        while chunk := file.read(CHUNK_BYTES):
            at += len(chunk)
            yield chunk, at


def _unpacking(path: Path) -> tuple[Callable[[], _Unpacking], type[Exception]] | None:
    """What unpacks a file, and what that raises; None where it is not packed."""
    if path.suffix.lower() == ".gz":
        return (lambda: zlib.decompressobj(31)), zlib.error
    if path.suffix.lower() != ".zst":
        return None
    try:
        import zstandard  # noqa: PLC0415 - only for who has such files
    except ModuleNotFoundError:
        raise ConfigError(
            f"{path}: needs the package zstandard, which is not installed: pip install 'streamguard[compression]'"
        ) from None
    # Up to what `zstd --long=31` writes.
    new: Any = zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj
    return new, zstandard.ZstdError


def _unpacked(path: Path, new: Callable[[], _Unpacking], careful_from: int | None = None) -> Iterator[Chunk]:
    """What a packed file holds, a few KiB of it at a time; from `careful_from` on, byte by byte."""
    current: _Unpacking | None = None
    at = 0
    with opened(path) as file:
        while piece := file.read(_PACKED_BYTES if careful_from is None or at < careful_from else 1):
            at += len(piece)
            while piece:
                current = current or new()
                yield current.decompress(piece), at
                if not current.eof:
                    break
                # One may follow another, and tapes end in zeros.
                piece, current = current.unused_data.lstrip(b"\0"), None
    if current is not None:
        raise BrokenError("is cut off")


def _salvaged(path: Path, new: Callable[[], _Unpacking], error_type: type[Exception]) -> Iterator[Chunk]:
    """What a packed file holds, up to the very byte from which on it is damaged; then raises `BrokenError`."""
    size = read = 0
    try:
        for data, read in _unpacked(path, new):
            size += len(data)
            yield data, read
    except error_type:
        # What was unpacked in the call that failed is lost: once more, in calls of one byte.
        careful_from = max(0, read - _PACKED_BYTES)
        try:
            for data, at in _unpacked(path, new, careful_from):
                if len(data) > size:
                    yield data[size:], at
                size = max(0, size - len(data))
        except error_type as error:
            raise BrokenError(f"is damaged ({error})") from None


def _joined(given: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same bytes in chunks of about 4 MiB; what came before an error comes before it."""
    held: list[bytes] = []
    size = at = 0
    broken = None
    try:
        for data, at in given:
            held.append(data)
            size += len(data)
            if size >= CHUNK_BYTES:
                yield b"".join(held), at
                held, size = [], 0
    except BrokenError as error:
        broken = error
    if size:
        yield b"".join(held), at
    if broken is not None:
        raise broken
