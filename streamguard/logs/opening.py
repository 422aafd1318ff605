"""The log that a configuration names."""

from streamguard.config import EmbeddedLog as EmbeddedSettings
from streamguard.config import KafkaLog as KafkaSettings
from streamguard.errors import ConfigError
from streamguard.logs.interface import Log


def open_log(settings: EmbeddedSettings | KafkaSettings) -> Log:
    """Open it; raises `LogError` where it cannot be reached, `ConfigError` where its client is not installed."""
    # Each import costs time and memory that the others' user need not pay.
    if isinstance(settings, EmbeddedSettings):
        from streamguard.logs.embedded import EmbeddedLog  # noqa: PLC0415

        return EmbeddedLog(settings.path)
    if settings.client == "confluent":
        return _confluent(settings)
    from streamguard.logs.kafka import KafkaLog  # noqa: PLC0415

    return KafkaLog(settings)


def _confluent(settings: KafkaSettings) -> Log:
    try:
        from streamguard.logs.confluent import ConfluentLog  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if error.name != "confluent_kafka":
            raise
        raise ConfigError(
            "log.client is confluent, and the package confluent-kafka is not installed:"
            " pip install 'confluent-kafka>=2.16.1,<3'"
        ) from None
    return ConfluentLog(settings)
