"""Sizes and times for people."""

from streamguard.core.durations import format_duration_ms

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size(count: float) -> str:
    """A number of bytes.

    >>> size(0), size(1536), size(8 << 30)
    ('0 B', '1.5 KiB', '8 GiB')
    """
    for unit in _UNITS:
        if abs(count) < 1024 or unit == _UNITS[-1]:
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:.0f} {unit}"
        count /= 1024
    return ""


def duration(ms: float) -> str:
    """A time, to the second where it is longer than that."""
    whole = round(ms)
    return format_duration_ms(whole if abs(whole) < 1000 else whole // 1000 * 1000)


def some(names: list[str], most: int = 5) -> str:
    """Names in a sentence, the first few of many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
