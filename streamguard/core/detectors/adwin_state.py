"""ADWIN's window as named numbers, and as the bytes that river's Rust object takes.

The bytes are little-endian and packed: the settings, the sums, the rows of buckets, and the constructor's
arguments. Row i holds buckets of 2^i losses each, the oldest first, in arrays of max_buckets + 1 places of
which the unused ones are 0. Bytes of any other shape make river panic, so none reach it but those written
here.
"""

import struct
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from streamguard.core.detectors.adapter import Plain, State
from streamguard.core.detectors.settings import AdwinSettings

# delta, clock, max_buckets, min_window_length, grace_period
_SETTINGS = struct.Struct("<diQdd")
# total, variance, width, total_width, n_buckets, max_n_buckets, tick, n_detections, rows
_SUMS = struct.Struct("<ddddiiiiQ")
# delta, clock, max_buckets, min_window_length, grace_period, once more
_ARGUMENTS = struct.Struct("<diQii")
_LENGTH = struct.Struct("<Q")

# 2^62 losses; river shifts a 64-bit one by the number of the row.
_ROWS_MAX = 63

Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Row(Plain):
    """Buckets of one size, the oldest first: the sum of the losses, and of their squared deviations."""

    totals: list[float]
    variances: list[float]

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if len(self.totals) != len(self.variances):
            raise ValueError(f"{len(self.totals)} totals for {len(self.variances)} variances")
        return self


class AdwinState(State):
    """The window, with river's names; the counters wrap around at 2^31 as they do in river."""

    type: Literal["adwin"] = "adwin"
    total: float
    variance: float
    width: Annotated[float, Field(ge=0)]
    total_width: float
    n_buckets: Int32
    max_n_buckets: Int32
    tick: Int32
    n_detections: Int32
    rows: Annotated[list[Row], Field(min_length=1, max_length=_ROWS_MAX)]

    @model_validator(mode="after")
    def _width_is_what_the_rows_hold(self) -> Self:
        held = sum(len(row.totals) << power for power, row in enumerate(self.rows))
        if held != self.width:
            raise ValueError(f"width is {self.width:g}, but the rows hold {held} losses")
        if len(self.rows) > 1 and not all(row.totals for row in self.rows):
            raise ValueError("a row holds no bucket")
        return self


def encode(state: AdwinState, settings: AdwinSettings) -> bytes:
    """Return the bytes for `__setstate__`; ValueError for more buckets than the settings allow."""
    longest = max(len(row.totals) for row in state.rows)
    if longest > settings.max_buckets:
        raise ValueError(f"a row holds {longest} buckets, but max_buckets is {settings.max_buckets}")
    shared = (settings.delta, settings.clock, settings.max_buckets)
    lengths = (settings.min_window_length, settings.grace_period)
    sums = (state.total, state.variance, state.width, state.total_width)
    counters = (state.n_buckets, state.max_n_buckets, state.tick, state.n_detections)
    return b"".join(
        (
            _SETTINGS.pack(*shared, *lengths),
            _SUMS.pack(*sums, *counters, len(state.rows)),
            *(_encoded_row(row, settings.max_buckets) for row in state.rows),
            _ARGUMENTS.pack(*shared, *lengths),
        )
    )


def _encoded_row(row: Row, max_buckets: int) -> bytes:
    places = max_buckets + 1
    unused = [0.0] * (places - len(row.totals))
    column = struct.Struct(f"<Q{places}d")
    return b"".join(
        (
            _LENGTH.pack(max_buckets),
            _LENGTH.pack(len(row.totals)),
            column.pack(places, *row.totals, *unused),
            column.pack(places, *row.variances, *unused),
        )
    )


def decode(data: bytes, settings: AdwinSettings) -> AdwinState:
    """Read what `__getstate__` returned; ValueError if it is not laid out as in river 0.26."""
    places = settings.max_buckets + 1
    row_layout = struct.Struct(f"<QQQ{places}dQ{places}d")
    rows_at = _SETTINGS.size + _SUMS.size
    *sums, row_count = _SUMS.unpack_from(data, _SETTINGS.size)
    expected = rows_at + row_count * row_layout.size + _ARGUMENTS.size
    if len(data) != expected:
        raise ValueError(f"ADWIN's state is {len(data)} bytes, expected {expected}: is this river 0.26?")
    rows = []
    for index in range(row_count):
        _, used, _, *columns = row_layout.unpack_from(data, rows_at + index * row_layout.size)
        rows.append(Row(totals=columns[:used], variances=columns[places + 1 :][:used]))
    names = (
        "total",
        "variance",
        "width",
        "total_width",
        "n_buckets",
        "max_n_buckets",
        "tick",
        "n_detections",
    )
    return AdwinState(**dict(zip(names, sums, strict=True)), rows=rows)
