"""What holds for all tests."""

from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# A deadline would time the machine, not the code.
settings.register_profile("streamguard", deadline=None, print_blob=True)
settings.load_profile("streamguard")


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """A command that was called in this process says what is logged from then on: not in the next test."""
    yield
    structlog.reset_defaults()
