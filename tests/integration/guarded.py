"""One Apache Kafka with every kind of door: encrypted, with names and passwords, with rights, and some that are wrong.

Whoever comes by the plain listener may do everything; a test sets up there what it then finds elsewhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography.hazmat.primitives import serialization

from tests.integration.broker import free_port, running

PASSWORD = "open-sesame"  # noqa: S105 - of a broker that lives as long as a test
_HOST = "127.0.0.1"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


@dataclass(frozen=True, slots=True)
class Guarded:
    """Where its listeners are, and the files by which clients trust them."""

    plain: str
    """No encryption, no name: whoever comes here may do everything."""
    authority: Path
    """PEM file of the authority behind all certificates."""
    other_authority: Path
    """PEM file of one that has signed none of them."""
    doors: dict[str, str] = field(default_factory=dict)
    """By listener its host:port: TLS, EXPIRED, SOON and WRONGNAME encrypt alone; LOST tells clients of a port where
    nobody listens; SASL wants a name, SAFE a name over TLS."""


_DOORS = {
    "TLS": "SSL",
    "EXPIRED": "SSL",
    "SOON": "SSL",
    "WRONGNAME": "SSL",
    "LOST": "PLAINTEXT",
    "SASL": "SASL_PLAINTEXT",
    "SAFE": "SASL_SSL",
}


@contextmanager
def guarded(directory: Path) -> Iterator[Guarded]:
    """The broker, until the end of the block; raises `BrokerUnavailableError`."""
    authority = trustme.CA()
    files = {name: directory / f"{name}.pem" for name in ("authority", "other")}
    authority.cert_pem.write_to_path(files["authority"])
    trustme.CA().cert_pem.write_to_path(files["other"])
    now = datetime.now(UTC)
    certificates = {
        "TLS": authority.issue_cert(_HOST),
        "SAFE": authority.issue_cert(_HOST),
        "EXPIRED": authority.issue_cert(_HOST, not_before=now - timedelta(9), not_after=now - timedelta(2)),
        "SOON": authority.issue_cert(_HOST, not_after=now + timedelta(days=5, hours=1)),
        "WRONGNAME": authority.issue_cert("kafka.internal.example"),
    }
    port = free_port()
    ports = {name: free_port() for name in _DOORS}
    properties = _listeners(port, ports) | {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "sasl.enabled.mechanisms": "PLAIN",
        "ssl.client.auth": "none",
    }
    for name, certificate in certificates.items():
        file = directory / f"{name}.pem"
        chain = b"".join(each.bytes() for each in certificate.cert_chain_pems)
        file.write_bytes(_as_kafka_reads_it(certificate.private_key_pem.bytes()) + chain)
        properties[f"listener.name.{name.lower()}.ssl.keystore.type"] = "PEM"
        properties[f"listener.name.{name.lower()}.ssl.keystore.location"] = str(file)
    users = " ".join(f'user_{name}="{PASSWORD}"' for name in ("worker", "limited"))
    for name in ("sasl", "safe"):
        properties[f"listener.name.{name}.plain.sasl.jaas.config"] = f"{_PLAIN} {users};"
    with running(directory / "data", port=port, properties=properties) as (plain, _):
        doors = {name: f"{_HOST}:{number}" for name, number in ports.items()}
        yield Guarded(plain, files["authority"], files["other"], doors)


def _listeners(port: int, ports: dict[str, int]) -> dict[str, str]:
    controller, nowhere = free_port(), free_port()
    protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | _DOORS
    open_at = {"PLAINTEXT": port} | ports
    return {
        "controller.quorum.voters": f"1@{_HOST}:{controller}",
        "listeners": ",".join(
            f"{name}://{_HOST}:{number}" for name, number in {**open_at, "CONTROLLER": controller}.items()
        ),
        "advertised.listeners": ",".join(
            f"{name}://{_HOST}:{nowhere if name == 'LOST' else number}" for name, number in open_at.items()
        ),
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
    }


def _as_kafka_reads_it(key: bytes) -> bytes:
    """The private key as PKCS #8: trustme writes the traditional form."""
    return serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
