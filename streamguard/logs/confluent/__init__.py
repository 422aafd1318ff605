"""The log on Apache Kafka, by confluent-kafka."""

from streamguard.logs.confluent.log import ConfluentLog
from streamguard.logs.confluent.session import ConfluentSession

__all__ = ["ConfluentLog", "ConfluentSession"]
