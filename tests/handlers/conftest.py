"""What several tests of handlers need."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
import trustme

from tests.handlers.helpers import Place


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, with its key in the same file; beside it, in `.crt`, is the authority that has signed it."""
    authority = trustme.CA()
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(path)
    authority.cert_pem.write_to_path(f"{path}.crt")
    return path


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An embedded log with an alerts topic, which is empty."""
    place = Place(tmp_path)
    yield place
    place.log.close()


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """A command that was run here has set it up for itself."""
    yield
    structlog.reset_defaults()
