"""Times as people type them, and the span between two."""

from streamguard.core.fields import Unreadable, parse_time_ms
from streamguard.errors import ConfigError


def time_of(text: str, option: str) -> int:
    """Epoch milliseconds, of digits or RFC 3339; raises `ConfigError`, which names the option."""
    try:
        return parse_time_ms(int(text) if text.isascii() and text.isdigit() else text)
    except Unreadable as reason:
        raise ConfigError(f"{option}: {reason}, such as 2026-01-31T12:00:00Z") from None
    except ValueError:
        raise ConfigError(f"{option}: a number of {len(text)} digits is no time") from None


def span_of(since: str | None, until: str | None) -> tuple[int | None, int | None]:
    """What `--from` and `--to` say, None where nothing is said; raises `ConfigError`."""
    from_ms = None if since is None else time_of(since, "--from")
    to_ms = None if until is None else time_of(until, "--to")
    if from_ms is not None and to_ms is not None and from_ms >= to_ms:
        raise ConfigError("--to: must be later than --from")
    return from_ms, to_ms
