"""A team's own function: whatever it does, the worker goes on, and knows what it could not find out."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamguard.core.features.fates import CHANGED, FAILED, NOT_MINE, SAME, StepFailedError
from streamguard.errors import ConfigError
from streamguard.preparing import functions
from streamguard.preparing.functions import OwnFunction
from tests.test_processes import PATIENCE_S, wait_ended

ENDLESS = "a" * 80 + "b"
SHORT_S = 0.3
ROOT = Path(__file__).parents[2]


@contextmanager
def own(name: str, time_limit_s: float = PATIENCE_S) -> Iterator[OwnFunction]:
    """One of the samples; by default it may take as long as a slow machine needs."""
    function = OwnFunction(f"tests.preparing.samples:{name}", time_limit_s)
    try:
        yield function
    finally:
        function.close()


def test_what_a_function_would_still_change_is_seen() -> None:
    """What is missing is no value."""
    with own("lower") as function:
        function.check()
        assert function.fates(["a", "A", None, "ä\ud800"]).tolist() == [SAME, CHANGED, NOT_MINE, SAME]
        assert function.fates([]).tolist() == []
        assert function.fates([None]).tolist() == [NOT_MINE]
        assert (function.applied("ABC"), function.applied(None)) == ("abc", None)
        assert (function.name, function.called, function.failed) == ("tests.preparing.samples:lower", 4, 0)


def test_an_error_is_the_fate_of_its_value() -> None:
    """Of no other; and it can be told."""
    with own("raising") as function:
        assert function.fates(["a", "bad", 3, "b"]).tolist() == [SAME, FAILED, FAILED, SAME]
        assert function.failed == 2
        assert function.last_error == "TypeError: argument of type 'int' is not iterable"
        with pytest.raises(StepFailedError, match="samples:raising': ValueError: cannot read bad"):
            function.applied("bad")
        assert (function.applied("b"), function.lost) == ("b", 0)


def test_what_a_function_prints_is_nobodys() -> None:
    """The standard output may be one that a program reads."""
    code = """
from tests.preparing.test_functions import own
if __name__ == "__main__":
    with own("loud") as function:
        print(function.fates(["a"] * 100).tolist() == [1] * 100)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=True, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_an_end_of_its_process_is_the_fate_of_its_value() -> None:
    """`sys.exit` does not even end that."""
    with own("leaving") as function:
        assert function.fates(["a", "exit", "b", "abort", "c"]).tolist() == [SAME, FAILED, SAME, FAILED, SAME]
        assert (function.lost, function.called, function.failed) == (1, 4, 2)
        assert not function.is_given_up
        with pytest.raises(StepFailedError, match="ended its process"):
            function.applied("abort")
        assert function.applied("a") == "a"


def test_a_regular_expression_that_hangs_is_ended() -> None:
    """The values before and behind it have their fates."""
    with own("hanging", SHORT_S) as function:
        assert function.fates(["a", "b", ENDLESS, "c"]).tolist() == [SAME, SAME, FAILED, SAME]
        assert (function.lost, function.called) == (1, 3)
        assert function.last_error == "took more than 0.3 s"
        with pytest.raises(StepFailedError, match=r"took more than 0\.3 s"):
            function.applied(ENDLESS)
        assert function.applied("a") == "a"


def test_after_three_in_a_row_it_is_called_no_more() -> None:
    """A worker must not stand still, as it would if each value took a second."""
    with own("hanging", SHORT_S) as function:
        found = function.fates([ENDLESS, ENDLESS, "a", ENDLESS, ENDLESS, ENDLESS, "a", None])
        assert found.tolist() == [FAILED, FAILED, SAME, FAILED, FAILED, FAILED, FAILED, NOT_MINE]
        assert (function.is_given_up, function.lost, function.called) == (True, 5, 1)
        assert function.fates(["a"]).tolist() == [FAILED]
        assert (function.lost, function.called, function.failed) == (5, 1, 7)
        with pytest.raises(StepFailedError, match=r"took more than 0\.3 s"):
            function.applied("a")


def test_one_that_dies_at_every_other_value_is_called_no_more() -> None:
    """Three are never in a row."""
    with own("leaving") as function:
        found = function.fates(["a", "abort"] * 20).tolist()
        assert found == [SAME, FAILED] * 11 + [FAILED] * 18
        assert (function.is_given_up, function.lost, function.called) == (True, 11, 11)


@pytest.mark.parametrize("value", ["lambda", "array", "path", "hostile"])
def test_results_that_are_no_plain_values(value: str) -> None:
    """They can neither be compared with what a record holds, nor sent."""
    with own("unplain") as function:
        assert function.fates(["a", value, "b"]).tolist() == [SAME, FAILED, SAME]
        with pytest.raises(StepFailedError):
            function.applied(value)


def test_lists_and_numbers_are_compared_as_what_they_were() -> None:
    """A function may change the very list that it is given, and a truth value is no number."""
    with own("sorting") as function:
        assert function.fates([[2, 1], [1, 2]]).tolist() == [CHANGED, SAME]
    with own("single") as function:
        assert function.fates([0.5, 1, 0.1, True]).tolist() == [SAME, SAME, CHANGED, CHANGED]
        assert function.applied(0.5) == 0.5
        assert type(function.applied(1)) is float


def test_what_cannot_be_sent_fails() -> None:
    """Nested more deeply than Python goes."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    with own("plain") as function:
        assert function.fates(["a", deep, "b"]).tolist() == [SAME, FAILED, SAME]
        with pytest.raises(StepFailedError, match="cannot be given the value"):
            function.applied(deep)


def test_values_larger_than_a_pipe() -> None:
    """They go through in pieces, and their results do, too."""
    text = "ä" * (5 << 20)
    with own("plain") as function:
        assert function.fates([text, "a", text]).tolist() == [SAME] * 3
        assert function.applied(text) == text


def test_a_process_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a frozen one: to send it more than the pipe holds would never end. No value is to blame."""
    with own("process") as function:
        frozen = function.applied("a")
        monkeypatch.setattr(functions, "_START_S", 5.0)
        os.kill(frozen, signal.SIGSTOP)
        assert function.fates(["a" * (5 << 20), "b"]).tolist() == [CHANGED, CHANGED]
        assert (function.lost, function.failed) == (1, 0)
        wait_ended(frozen)


def test_a_slow_start_is_not_the_time_of_a_value() -> None:
    """Large libraries take their time."""
    function = OwnFunction("tests.preparing.slow_start:lower", 1.0)
    assert function.fates(["a"]).tolist() == [SAME]
    assert function.lost == 0
    function.close()


def test_a_start_that_takes_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told at the check; without one the function is given up."""
    monkeypatch.setattr(functions, "_START_S", 0.01)
    with own("plain") as function:
        with pytest.raises(ConfigError, match=r"importing it takes more than 0\.01 s; mend it"):
            function.check()
        assert function.fates(["a", None]).tolist() == [FAILED, NOT_MINE]
        assert (function.is_given_up, function.lost) == (True, 3)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "nowhere.at_all:f",
            "cannot be imported: No module named 'nowhere'; install it where streamguard runs, or name",
        ),
        ("tests.preparing.samples:lowr", "there is no 'lowr' in tests.preparing.samples; name one that it has"),
        ("tests.preparing.samples:NO_FUNCTION", "cannot be called: it is int; name a function"),
        ("tests.preparing.broken:f", "cannot be imported: SystemExit: no licence; mend tests.preparing.broken"),
        ("tests.preparing.leaves:f", "importing it ends the process; mend it, or take the step out"),
    ],
)
def test_a_function_that_cannot_be_had_is_told(path: str, message: str) -> None:
    """What, where, and the way out; and no value has to wait for it."""
    function = OwnFunction(path)
    with pytest.raises(ConfigError) as caught:
        function.check()
    assert str(caught.value).startswith(f"function {path!r}")
    assert message in str(caught.value)
    assert function.fates(["a"]).tolist() == [FAILED]
    assert function.is_given_up
    function.close()


def test_its_process_ends_when_it_is_closed() -> None:
    """The next value starts another."""
    with own("process") as function:
        first = function.applied("a")
        assert first not in {os.getpid(), None}
        assert function.applied("a") == first
        function.close()
        function.close()
        wait_ended(first)
        assert function.applied("a") != first


def test_a_copy_has_a_process_of_its_own() -> None:
    """As for the processes of a replay."""
    with own("counting") as function:
        assert [function.applied("a"), function.applied("a")] == [1, 2]
        copy = pickle.loads(pickle.dumps(function))  # noqa: S301 - of this line
        assert copy.applied("a") == 1
        assert (copy.name, repr(copy)) == (function.name, repr(function))
        copy.close()


@pytest.mark.parametrize("ending", ["os._exit(3)", "os.kill(os.getpid(), 9)", "sys.exit(3)"])
def test_its_process_ends_with_this_one(ending: str) -> None:
    """Even where a function hangs that keeps Python's lock: after a while, by the time that it computes."""
    code = f"""
import os, sys, threading
from tests.preparing.test_functions import ENDLESS, own
if __name__ == "__main__":
    with own("process", 0.5) as function:
        print(function.applied("a"), flush=True)
        {ending}
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=ROOT
    )
    wait_ended(int(done.stdout))


def test_one_that_hangs_ends_though_its_parent_is_gone() -> None:
    """The thread that waits for the parent's end waits for Python's lock, too."""
    code = """
import os, signal
from streamguard.preparing.serving import _Limited
from tests.preparing.samples import hanging
from tests.preparing.test_functions import ENDLESS
with _Limited(0.01):
    hanging(ENDLESS)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=PATIENCE_S, check=False, cwd=ROOT)
    assert done.returncode == -26
