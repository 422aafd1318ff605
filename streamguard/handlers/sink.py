"""Where alerts are delivered to: what every sink promises, and how it says that it could not."""

from collections.abc import Sequence
from typing import Protocol

from streamguard.handlers.alert import Alert


class DeliveryError(Exception):
    """An alert was not delivered; the text says where to and why, without secrets."""


class TemporaryError(DeliveryError):
    """It may be delivered later: the other side is away, slow, or asks to wait."""

    def __init__(self, reason: str, after_s: float | None = None) -> None:
        super().__init__(reason)
        self.after_s = after_s
        """How long the other side asks to wait, in seconds; None: it did not say."""


class PermanentError(DeliveryError):
    """Trying again is of no use: the other side has refused it."""


class Sink(Protocol):
    """Delivers alerts to one place. One call at a time for one episode; several for several, from threads."""

    def deliver(self, alerts: Sequence[Alert]) -> None:
        """Deliver them, all or none as far as the other side allows; returns when it has taken them.

        Raises `TemporaryError` or `PermanentError`. It keeps to its time limit.
        """
        ...

    def close(self) -> None: ...
