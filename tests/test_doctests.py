"""Every example in a docstring is run: documentation that is wrong fails."""

import doctest
import importlib
import pkgutil

import pytest

import streamguard

MODULES = ["streamguard", *(each.name for each in pkgutil.walk_packages(streamguard.__path__, "streamguard."))]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_right(name: str) -> None:
    """What a docstring shows is what comes out."""
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples() -> None:
    """The search finds them: no module would mean no failure, either."""
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples]
    assert len(found) >= 10
