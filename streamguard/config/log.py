"""The `log` section: where records live, and how to be let in."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field as Setting
from pydantic import SecretStr, field_serializer, field_validator

from streamguard.config.base import Problem, Section
from streamguard.config.secrets import HIDDEN, read_secret
from streamguard.config.types import ClassName, Count, Duration, FileName, Servers, Text


class Sasl(Section):
    """Who we are, to a broker that asks."""

    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    """How to prove it. OAUTHBEARER needs `token_provider`, the others a username and a password."""
    username: Text | None = None
    """Name of the user."""
    password_file: FileName | None = None
    """File that holds the password; read once, at start, without its trailing newline."""
    password: SecretStr | None = Setting(default=None, validate_default=True)
    """The password. Better kept in a file (`password_file`) or in the environment."""
    token_provider: ClassName | None = None
    """`package.module:Class` of a kafka-python token provider, for OAUTHBEARER."""

    _read_password = field_validator("password")(read_secret)

    @field_serializer("password")
    def _hide_password(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.password_file else HIDDEN

    def problems(self) -> Iterable[Problem]:
        if self.mechanism == "OAUTHBEARER":
            if self.token_provider is None:
                yield ("token_provider",), "is missing: OAUTHBEARER needs it, as package.module:Class"
            return
        if self.username is None:
            yield ("username",), f"is missing: {self.mechanism} needs it"
        if self.password is None:
            yield ("password",), f"is missing: {self.mechanism} needs it, or password_file"


class Security(Section):
    """How connections to the brokers are encrypted, and who we are to them."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """SSL encrypts, SASL says who we are."""
    ca_file: FileName | None = None
    """PEM file of the authorities to trust. Null: those of the system."""
    cert_file: FileName | None = None
    """PEM file of our own certificate, where brokers ask for one."""
    key_file: FileName | None = None
    """PEM file of the private key of `cert_file`. Null: it is in `cert_file`."""
    key_password_file: FileName | None = None
    """File that holds the password of the private key; read once, at start."""
    key_password: SecretStr | None = Setting(default=None, validate_default=True)
    """Password of the private key."""
    check_hostname: bool = True
    """Whether a broker's certificate must carry the name that we connect to."""
    sasl: Sasl | None = None
    """Who we are; for the SASL protocols, which need it."""

    _read_password = field_validator("key_password")(read_secret)

    @field_serializer("key_password")
    def _hide_password(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.key_password_file else HIDDEN

    def problems(self) -> Iterable[Problem]:
        if self.protocol.startswith("SASL_") and self.sasl is None:
            yield ("sasl",), f"is missing: protocol {self.protocol} needs it"
        if not self.protocol.startswith("SASL_") and self.sasl is not None:
            yield ("sasl",), f"is set, but protocol {self.protocol} does not use it; did you mean SASL_SSL?"
        if not self.protocol.endswith("SSL"):
            for name in ("ca_file", "cert_file", "key_file", "key_password_file", "key_password"):
                if name in self.model_fields_set and getattr(self, name) is not None:
                    yield (name,), f"is set, but protocol {self.protocol} does not encrypt; did you mean SSL?"
        if self.key_file is not None and self.cert_file is None:
            yield ("cert_file",), "is missing: key_file needs it"


class KafkaLog(Section):
    """Topics of a Kafka cluster."""

    kind: Literal["kafka"]
    """`kafka`: topics of a Kafka cluster."""
    client: Literal["kafka-python", "confluent"] = "kafka-python"
    """The library that talks to the brokers: all workers of a group need the same. Default kafka-python; `confluent`
    takes less CPU and needs `pip install 'confluent-kafka>=2.16.1,<3'`."""
    bootstrap_servers: Servers = ("localhost:9092",)
    """Brokers to ask first, as host:port: a list, or text with commas. Default localhost:9092."""
    group: Text
    """Name of the consumer group; workers of one group share the work. Topics of ours are named after it."""
    worker: Text | None = None
    """Name of this worker, the same after a restart (a StatefulSet's ordinal, say): then the open transaction
    of its former self ends at once. Null: a new name each time, and a crashed worker's open transaction holds
    readers back for `transaction_timeout`. Its work waits for `session_timeout` either way."""
    create_topics: bool = True
    """Whether to create topics of ours (outcomes, alerts, rejected, state) that are missing."""
    replication_factor: int = -1
    """Copies of each topic that we create; -1: as the broker is set. Default -1."""
    session_timeout_ms: Duration = Setting(default=15_000, alias="session_timeout", gt=0)
    """How long a worker may be silent before its work goes to another. Default 15s."""
    transaction_timeout_ms: Duration = Setting(default=10_000, alias="transaction_timeout", gt=0)
    """How long a crashed worker's open transaction may hold readers back. Default 10s."""
    security: Security = Security()
    """Encryption and identity."""

    @field_validator("replication_factor")
    @classmethod
    def _some_copies(cls, value: int) -> int:
        if value == -1 or value > 0:
            return value
        raise ValueError(f"must be at least 1, or -1 for the broker's own default, got {value}")


class EmbeddedLog(Section):
    """Topics in one file on this machine: for trying things out, tests, and small installations."""

    kind: Literal["embedded"]
    """`embedded`: topics in one SQLite file, without a broker."""
    path: Text = "./data/streamguard.db"
    """The file, made when it is missing; relative to the working directory."""
    group: Text = "streamguard"
    """Name of the consumer group; topics of ours are named after it."""
    partitions: Count = 4
    """Partitions of each topic that is created. Default 4."""


LogSection = Annotated[KafkaLog | EmbeddedLog, Setting(discriminator="kind")]
