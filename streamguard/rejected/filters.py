"""Which rejected records a command is about."""

from dataclasses import dataclass

from streamguard.rejected.letter import Letter
from streamguard.rejected.reasons import kind_of
from streamguard.replay.moments import span_of


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
        return Filters(*span_of(asked.since, asked.until), asked.reason, asked.topic)

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
