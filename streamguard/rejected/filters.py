"""Which rejected records a command is about."""

from dataclasses import dataclass

from streamguard.core.fields import Unreadable, parse_time_ms
from streamguard.errors import ConfigError
from streamguard.rejected.letter import Letter
from streamguard.rejected.reasons import kind_of


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of a command, as they were typed."""

    since: str | None = None
    until: str | None = None
    reason: str | None = None
    topic: str | None = None


@dataclass(frozen=True, slots=True)
class Filters:
    """What a record must be to be taken: all of it. None: whatever it is."""

    from_ms: int | None = None
    to_ms: int | None = None
    reason: str | None = None
    topic: str | None = None

    @staticmethod
    def of(asked: Asked) -> "Filters":
        """From what was typed; raises `ConfigError`."""
        from_ms, to_ms = _time_ms(asked.since, "--from"), _time_ms(asked.until, "--to")
        if from_ms is not None and to_ms is not None and from_ms >= to_ms:
            raise ConfigError("--to: must be later than --from")
        return Filters(from_ms, to_ms, asked.reason, asked.topic)

    def take(self, letter: Letter) -> bool:
        """Whether a record is one of those: rejected from `from_ms` to before `to_ms`, and so on."""
        return (
            (self.from_ms is None or letter.time_ms >= self.from_ms)
            and (self.to_ms is None or letter.time_ms < self.to_ms)
            and (self.topic is None or (letter.origin is not None and letter.origin.topic == self.topic))
            and (self.reason is None or _says(letter.reason, self.reason))
        )


def _says(reason: str, text: str) -> bool:
    """Whether a reason has the text in it, also with its values left out as `list` shows it; in any case of letters."""
    wanted = text.casefold()
    return wanted in reason.casefold() or wanted in kind_of(reason).casefold()


def _time_ms(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return parse_time_ms(int(text) if text.isascii() and text.isdigit() else text)
    except Unreadable as reason:
        raise ConfigError(f"{option}: {reason}, such as 2026-01-31T12:00:00Z") from None
    except ValueError:
        raise ConfigError(f"{option}: a number of {len(text)} digits is no time") from None
