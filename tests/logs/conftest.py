"""Plain asserts in the contract tell what they compared, as in any test file."""

import pytest

pytest.register_assert_rewrite("tests.logs.contract", "tests.logs.helpers")
