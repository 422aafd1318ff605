"""The broker that integration tests share."""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.broker import BrokerUnavailableError, shared
from tests.logs.conftest import group

__all__ = ["broker", "client", "group"]

CLIENTS = ["kafka-python", "confluent"]


@pytest.fixture
def client() -> str:
    """The library that workers use; tests that are parametrized over it have each."""
    return CLIENTS[0]


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The bootstrap address of one Apache Kafka for the whole run, also under pytest-xdist.

    Where it cannot run the tests that need it are skipped, unless REQUIRE_BROKER=1.
    """
    directory = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent
    with ExitStack() as stack:
        try:
            bootstrap = stack.enter_context(shared(directory))
        except BrokerUnavailableError as error:
            reason = str(error)
        else:
            yield bootstrap
            return
    if os.environ.get("REQUIRE_BROKER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
