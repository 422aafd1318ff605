"""What the contract needs wherever it is run."""

from uuid import uuid4

import pytest

# Plain asserts then tell what they compared, as in any test file.
pytest.register_assert_rewrite("tests.logs.contract_sessions", "tests.logs.contract_topics", "tests.logs.helpers")


@pytest.fixture
def group() -> str:
    """A group nobody else is in."""
    return f"group-{uuid4().hex[:12]}"
