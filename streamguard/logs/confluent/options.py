"""Settings as librdkafka wants them."""

import logging
from typing import Any

from streamguard.config import KafkaLog as Settings
from streamguard.logs.confluent.errors import Told
from streamguard.logs.confluent.oauth import TokenSource

# Below that of kafka-python, so that what routes the one routes the other.
_logger = logging.getLogger("kafka.librdkafka")

# A commit takes tens of milliseconds however much is in it.
POLL_RECORDS = 50_000

RESEND_MS = 250
"""After how long, give or take a fifth, librdkafka sends a request of a transaction again that was lost."""


def connection(settings: Settings, told: Told) -> dict[str, Any]:
    """What every client needs: where the brokers are, and who we are. `told` hears what goes wrong meanwhile."""
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(settings.bootstrap_servers),
        "client.id": f"streamguard-{settings.group}",
        "security.protocol": security.protocol,
        # Its default of 10 s is how long a worker would be away after the broker is back.
        "reconnect.backoff.max.ms": 1000,
        "allow.auto.create.topics": False,
        "enable.metrics.push": False,
        "error_cb": told.hear,
        "logger": _logger,
    }
    if security.protocol.endswith("SSL"):
        password = security.key_password
        wanted = {
            "ssl.ca.location": security.ca_file,
            "ssl.certificate.location": security.cert_file,
            "ssl.key.location": security.key_file or security.cert_file,
            "ssl.key.password": None if password is None else password.get_secret_value(),
            "ssl.endpoint.identification.algorithm": "https" if security.check_hostname else "none",
        }
        options |= {name: value for name, value in wanted.items() if value is not None}
    sasl = security.sasl
    if sasl is not None:
        options["sasl.mechanism"] = sasl.mechanism
        if sasl.token_provider is not None:
            options["oauth_cb"] = TokenSource(sasl.token_provider)
        else:
            options["sasl.username"] = sasl.username
            options["sasl.password"] = "" if sasl.password is None else sasl.password.get_secret_value()
    return options


def consumer(settings: Settings, told: Told) -> dict[str, Any]:
    """A consumer that sees committed records only, and never moves its position by itself."""
    return connection(settings, told) | {
        "group.id": settings.group,
        # Its default of 60 s is how long a partition would stand still where an answer was lost.
        "socket.timeout.ms": 15_000,
        # On plain inputs too: only then does an offset fetch wait for a pending commit (require_stable).
        "isolation.level": "read_committed",
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        # The position at a partition's end is told by this alone: markers and compaction leave gaps there.
        "enable.partition.eof": True,
        "check.crcs": True,
        "fetch.wait.max.ms": 100,
        # What waits to be read: as many of each partition as one poll takes, and of all together so much.
        "queued.min.messages": POLL_RECORDS,
        "queued.max.messages.kbytes": 32 << 10,
        "fetch.message.max.bytes": 2 << 20,
        # Its default of 1 s is how long a partition would stand still whenever that much waits.
        "fetch.queue.backoff.ms": 10,
    }


def producer(settings: Settings, told: Told) -> dict[str, Any]:
    """A producer for many small records, or a single very large rejected one."""
    return connection(settings, told) | {
        "acks": "all",
        "enable.idempotence": True,
        # As Kafka's own clients do: predictions and labels of one key meet, whoever wrote them.
        "partitioner": "murmur2_random",
        "message.max.bytes": 100 << 20,
        # A commit may have any number of records; what they take they take already.
        "queue.buffering.max.messages": 0,
        "queue.buffering.max.kbytes": 2**31 - 1,
        "retry.backoff.ms": RESEND_MS,
        "topic.metadata.refresh.fast.interval.ms": 100,
    }
