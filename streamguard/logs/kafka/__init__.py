"""The log on Apache Kafka, by kafka-python."""

from streamguard.logs.kafka.log import KafkaLog
from streamguard.logs.kafka.session import KafkaSession

__all__ = ["KafkaLog", "KafkaSession"]
