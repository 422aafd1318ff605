"""Codes are a contract: each is used, and each is documented as it is."""

import ast
import re
from pathlib import Path

import pytest

from streamguard.doctor.codes import CODES, GROUPS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")


def used() -> set[str]:
    """Every text in the checks that looks like a code."""
    found = set()
    files = [*(ROOT / "streamguard" / "doctor" / "checks").glob("*.py"), ROOT / "streamguard" / "doctor" / "judging.py"]
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in CODES:
                found.add(node.value)
    return found


def test_every_code_is_found_by_some_check() -> None:
    """A code that nothing finds is a promise that nobody keeps."""
    assert used() == set(CODES)


@pytest.mark.parametrize("code", CODES)
def test_every_code_reads_as_one_and_says_why_and_how(code: str) -> None:
    """Programs go by the name, people by the words."""
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
    assert CODES[code].why.endswith(".")
    assert CODES[code].mend.endswith((".", "."))


def test_the_page_has_each_code_as_it_is() -> None:
    """`python -m tests.doctor.test_codes` prints the tables anew."""
    assert tables() in PAGE


def tables() -> str:
    """What docs/doctor.md says of all codes."""
    parts = []
    for name, codes in GROUPS.items():
        rows = [f"| `{code}` | {each.severity} | {each.why} | {each.mend} |" for code, each in codes.items()]
        head = ["", "| code | severity | why it matters | how to mend it |", "|---|---|---|---|"]
        parts.append("\n".join([f"### {name}", *head, *rows]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    print(tables())  # noqa: T201 (what was asked for)
