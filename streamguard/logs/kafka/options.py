"""Settings as kafka-python's clients want them."""

from typing import Any

from streamguard.config import KafkaLog as Settings
from streamguard.logs import token_provider


def connection(settings: Settings) -> dict[str, Any]:
    """What every client needs: where the brokers are, and who we are."""
    security = settings.security
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.bootstrap_servers),
        "client_id": f"streamguard-{settings.group}",
        "security_protocol": security.protocol,
        # Its default of 30 s is how long a worker would be away after the broker is back.
        "reconnect_backoff_max_ms": 1000,
    }
    if security.protocol.endswith("SSL"):
        password = security.key_password
        options |= {
            "ssl_cafile": security.ca_file,
            "ssl_certfile": security.cert_file,
            "ssl_keyfile": security.key_file,
            "ssl_password": None if password is None else password.get_secret_value(),
            "ssl_check_hostname": security.check_hostname,
        }
    sasl = security.sasl
    if sasl is not None:
        options["sasl_mechanism"] = sasl.mechanism
        if sasl.token_provider is not None:
            options["sasl_oauth_token_provider"] = token_provider.load(sasl.token_provider)
        else:
            options["sasl_plain_username"] = sasl.username
            options["sasl_plain_password"] = "" if sasl.password is None else sasl.password.get_secret_value()
    return options


def consumer(settings: Settings) -> dict[str, Any]:
    """A consumer that sees committed records only, and never moves its position by itself."""
    return connection(settings) | {
        # On plain inputs too: only then does an offset fetch wait for a pending commit (require_stable).
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "none",
        "allow_auto_create_topics": False,
        "fetch_max_wait_ms": 100,
        "max_partition_fetch_bytes": 4 << 20,
        "fetch_max_bytes": 8 << 20,
        "metrics_enabled": False,
    }


def producer(settings: Settings) -> dict[str, Any]:
    """A producer for many small records, or a single very large rejected one."""
    return connection(settings) | {
        "acks": "all",
        # A commit that follows another waits for the first to be written out: at the default of 100 ms it
        # takes 110 to 220 ms, so about 10.
        "retry_backoff_ms": 5,
        "batch_size": 256 << 10,
        "max_request_size": 100 << 20,
        "request_timeout_ms": 15_000,
        "delivery_timeout_ms": 30_000,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
    }
