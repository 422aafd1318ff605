"""Certificates: what is read of a good one, and how a bad one is told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from tests.handlers.samples import Server, reply
from tests.probing.helpers import called, error, result


def issued(directory: Path, authority: trustme.CA, host: str = "127.0.0.1", not_after: datetime | None = None) -> Path:
    """A certificate with its key in one file."""
    path = directory / "server.pem"
    authority.issue_cert(host, not_after=not_after).private_key_and_cert_chain_pem.write_to_path(path)
    authority.cert_pem.write_to_path(f"{path}.crt")
    return path


def test_a_good_certificate(tmp_path: Path) -> None:
    """When it expires, and who has issued it."""
    expires = datetime(2034, 5, 6, 7, 8, 9, tzinfo=UTC)
    certificate = issued(tmp_path, trustme.CA(organization_name="Us\u202e"), not_after=expires)
    found = result(reply(200, b"{}"), certificate=certificate, ca_file=f"{certificate}.crt")
    assert found["ok"] is True
    assert found["tls_expires"] == int(expires.timestamp() * 1000)
    assert found["tls_issued"] < found["tls_expires"]
    assert found["tls_issuer"].startswith("O=Us ")
    assert found["connect_ms"] < found["first_byte_ms"]


def test_an_expired_certificate(tmp_path: Path) -> None:
    """It is refused, with the reason."""
    past = datetime.now(UTC) - timedelta(days=2)
    certificate = issued(tmp_path, trustme.CA(), not_after=past)
    kind, message = error(reply(200), certificate=certificate, ca_file=f"{certificate}.crt")
    assert (kind, message) == ("tls", "the certificate of SERVER is not trusted: certificate has expired")


def test_another_authority(tmp_path: Path, certificate: Path) -> None:
    """Also where none is configured: that of a private authority is not one of the system's."""
    (tmp_path / "other.pem").write_bytes(trustme.CA().cert_pem.bytes())
    for settings in ({"ca_file": str(tmp_path / "other.pem")}, {}):
        kind, message = error(reply(200), certificate=certificate, **settings)
        assert kind == "tls"
        assert message.startswith("the certificate of SERVER is not trusted: unable to get local issuer")


def test_another_host(tmp_path: Path) -> None:
    """A good certificate of somebody else."""
    certificate = issued(tmp_path, trustme.CA(), host="other.example.com")
    kind, message = error(reply(200), certificate=certificate, ca_file=f"{certificate}.crt")
    assert kind == "tls"
    assert "IP address mismatch" in message


def test_a_server_without_tls(certificate: Path) -> None:
    """And one with it that is called without."""
    with Server(reply(200)) as server:
        found = called(f"https://{server.where}", ca_file=f"{certificate}.crt")
    assert found["error"]["kind"] == "tls"
    with Server(reply(200), certificate=certificate) as server:
        found = called(f"http://{server.where}")
    assert found["error"]["kind"] in {"reset", "protocol"}
