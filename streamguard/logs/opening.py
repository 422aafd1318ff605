"""The log that a configuration names."""

from streamguard.config import EmbeddedLog as EmbeddedSettings
from streamguard.config import KafkaLog as KafkaSettings
from streamguard.logs.interface import Log


def open_log(settings: EmbeddedSettings | KafkaSettings) -> Log:
    """Open it; raises `LogError` where it cannot be reached."""
    # Either import costs time and memory that the other's user need not pay.
    if isinstance(settings, EmbeddedSettings):
        from streamguard.logs.embedded import EmbeddedLog  # noqa: PLC0415

        return EmbeddedLog(settings.path)
    from streamguard.logs.kafka import KafkaLog  # noqa: PLC0415

    return KafkaLog(settings)
