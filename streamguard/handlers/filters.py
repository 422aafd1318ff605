"""Which alerts a handler is told of, and which are kept back."""

from collections.abc import Sequence
from datetime import datetime

from streamguard.config.delivering import Match
from streamguard.config.handlers import Silence
from streamguard.handlers.alert import Alert


def matches(match: Match, alert: Alert) -> bool:
    """Whether each field that the match names has one of its values."""
    return all(not wanted or getattr(alert, name) in wanted for name, wanted in match)


def silence_of(silences: Sequence[Silence], alert: Alert) -> Silence | None:
    """The first silence that an alert's event time falls into, if any."""
    at: datetime = alert.event_time
    return next((each for each in silences if each.start <= at < each.end and matches(each.match, alert)), None)
