"""Variables and GPUs: on made-up facts, and with a made-up NVML, since no GPU is here."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamguard.doctor.checks.environment import environment
from streamguard.doctor.facts import Device, Environment
from tests.doctor.helpers import codes, config

GIB = 1 << 30
GPUS = (
    Device(
        0,
        "GPU-aaaa1111-2222-3333-4444-555566667777",
        "A100",
        70 * GIB,
        80 * GIB,
        ("MIG-cccc1111-0000-0000-0000-000000000000",),
    ),
    Device(1, "GPU-aaab1111-2222-3333-4444-555566667777", "A100", 2 * GIB, 80 * GIB),
)
CUDA = "CUDA_VISIBLE_DEVICES"


def judged(value: str | None, devices: tuple[Device, ...] | None = GPUS, **gpu: object) -> list[str]:
    """Codes for a value of the variable, where a configuration asks for GPUs."""
    facts = Environment({CUDA: value}, devices, None if devices is not None else "no NVML")
    return codes(environment(config(preflight={"gpu": gpu}), facts))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, []),
        ("0", []),
        ("1,0", []),
        (" 0 , 1 ", []),
        ("GPU-aaaa", []),
        ("gpu-AAAA1111-2222", []),
        ("MIG-cccc1111-0000-0000-0000-000000000000", []),
        ("MIG-GPU-aaaa1111-2222-3333-4444-555566667777/1/0", []),
        ("0,-1,7", []),
        ("", ["cuda-hides-all"]),
        ("-1", ["cuda-hides-all"]),
        ("-1,0", ["cuda-hides-all"]),
        ("0,one", ["cuda-malformed"]),
        ("0,,1", ["cuda-malformed"]),
        ("0;1", ["cuda-malformed"]),
        ("all", ["cuda-malformed"]),
        ("٣", ["cuda-malformed"]),
        ("-2", ["cuda-malformed"]),
        ("0,0", ["cuda-duplicate"]),
        ("0,00", ["cuda-duplicate"]),
        ("2", ["cuda-no-such-device"]),
        ("0,7", ["cuda-no-such-device"]),
        ("GPU-aaa", ["cuda-no-such-device"]),
        ("GPU-bbbb", ["cuda-no-such-device"]),
        ("MIG-dddd", ["cuda-no-such-device"]),
    ],
)
def test_the_variable_is_read_as_cuda_reads_it(value: str | None, expected: list[str]) -> None:
    """A prefix of a UUID will do as long as it is only one's; what follows -1 is hidden on purpose."""
    assert judged(value) == expected


@given(st.text(max_size=30))
def test_any_value_is_judged(value: str) -> None:
    """What somebody has typed makes nothing raise."""
    judged(value)
    judged(value, None)


def test_what_the_configuration_asks_of_gpus() -> None:
    """Of those that are seen, not of all."""
    assert judged(None, count=3) == ["gpu-count"]
    assert judged("0", count=2) == ["gpu-count"]
    assert judged("0", free_memory="8GiB") == []
    assert judged("1", free_memory="8GiB") == ["gpu-memory"]
    assert judged(None, free_memory="8GiB") == ["gpu-memory"]


def test_the_free_memory_is_told() -> None:
    """How much there is, and how much is wanted."""
    (found,) = environment(config(preflight={"gpu": {"free_memory": "8GiB"}}), Environment({CUDA: "1"}, GPUS))

    assert found.what == "GPU 1 (A100) has 2 GiB free of 80 GiB, and preflight.gpu.free_memory is 8 GiB"


def test_indices_of_unlike_gpus_depend_on_an_order() -> None:
    """CUDA counts from the fastest on."""
    mixed = (GPUS[0], Device(1, "GPU-b", "T4", GIB, GIB))
    facts = Environment({CUDA: "1", "CUDA_DEVICE_ORDER": None}, mixed)
    ordered = Environment({CUDA: "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, mixed)
    wanted = config(preflight={"gpu": {}})

    assert codes(environment(wanted, facts)) == ["cuda-order"]
    assert codes(environment(wanted, ordered)) == []


def test_without_nvml_it_is_said_what_was_not_looked_at_where_somebody_asked() -> None:
    """And the variable is still read."""
    facts = Environment({CUDA: "0,one"}, None, "the package nvidia-ml-py (module pynvml) is not installed")

    assert codes(environment(config(preflight={"gpu": {}}), facts)) == ["gpu-unchecked", "cuda-malformed"]
    assert codes(environment(config(), facts)) == []


def test_variables() -> None:
    """Values may be secrets, and are not shown."""
    wanted = {"A": {}, "B": {}, "C": "eu-.*", "D": {"matches": "eu-.*"}, CUDA: {}}
    facts = Environment({"A": "x", "B": "", "C": "eu-1", "D": "SECRET eu-1", CUDA: None}, GPUS)
    found = list(environment(config(preflight={"variables": wanted}), facts))

    assert [(each.code, each.what.split()[-1]) for each in found] == [
        ("variable-unset", "nothing"),
        ("variable-mismatch", "'eu-.*'"),
        ("variable-unset", "set"),
    ]
    assert "SECRET" not in str(found)


NVML = '''
"""As nvidia-ml-py has it, of two GPUs of which one is cut in parts."""
class NVMLError(Exception): pass
class Memory:
    def __init__(self, free, total): self.free, self.total = free, total
def nvmlInit():
    if FAILS: raise NVMLError("Driver Not Loaded")
def nvmlShutdown(): pass
def nvmlDeviceGetCount(): return 2
def nvmlDeviceGetHandleByIndex(index): return index
def nvmlDeviceGetUUID(handle): return b"GPU-%d" % handle if isinstance(handle, int) else "MIG-1234"
def nvmlDeviceGetName(handle): return "A100"
def nvmlDeviceGetMemoryInfo(handle): return Memory(1 << 30, 80 << 30)
def nvmlDeviceGetMaxMigDeviceCount(handle):
    if handle: raise NVMLError("Not Supported")
    return 2
def nvmlDeviceGetMigDeviceHandleByIndex(handle, number):
    if number: raise NVMLError("Not Found")
    return "part"
'''
SEE = """
import sys, os
from tests.doctor.helpers import config
from streamguard.doctor.gathering.machine import environment
print(repr(environment(config(preflight={"gpu": {}}))))
"""


@pytest.mark.parametrize("fails", [False, True])
def test_gpus_are_asked_of_nvml(tmp_path: Path, fails: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """The module is a made-up one, in a process of its own: there is no GPU here to be asked."""
    (tmp_path / "pynvml.py").write_text(f"FAILS = {fails}\n{NVML}")
    root = Path(__file__).parents[2]
    environment = {"PYTHONPATH": f"{tmp_path}:{root}", "CUDA_VISIBLE_DEVICES": "0"}
    done = subprocess.run(
        [sys.executable, "-c", SEE], capture_output=True, text=True, check=True, env=environment, cwd=root, timeout=60
    )

    if fails:
        assert "nvml_problem='NVMLError: Driver Not Loaded'" in done.stdout
    else:
        assert "Device(index=0, uuid='GPU-0', name='A100', free_bytes=1073741824" in done.stdout
        assert "parts=('MIG-1234',)" in done.stdout
        assert "uuid='GPU-1'" in done.stdout
