"""This machine: packages, variables, GPUs, memory and limits."""

import os
import platform
import re
import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib import import_module, metadata, util
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from streamguard.config import Config
from streamguard.doctor.facts import Cgroup, Device, Environment, Installed, Machine, Packages

EXTRAS = ("confluent-kafka", "rocksdict", "lz4", "zstandard", "python-snappy")
"""What some settings need."""
CUDA = "CUDA_VISIBLE_DEVICES"
CUDA_ORDER = "CUDA_DEVICE_ORDER"


def packages(config: Config) -> Packages:
    """Which of the packages that somebody asks for are installed; none is imported."""
    requires_python: str | None = None
    requires: tuple[str, ...] = ()
    with suppress(PackageNotFoundError):
        own = metadata.distribution("streamguard")
        requires_python, requires = own.metadata["Requires-Python"], tuple(own.requires or ())
    names: set[str] = {canonicalize_name(re.split(r"[^\w.-]", each)[0]) for each in requires}
    names |= {canonicalize_name(name) for name in (*config.preflight.packages, *EXTRAS)}
    found: dict[str, Installed] = {name: each for name in sorted(names) if (each := _installed(name)) is not None}
    return Packages(platform.python_version(), found, requires_python, requires)


def _installed(name: str) -> Installed | None:
    try:
        distribution = metadata.distribution(name)
    except PackageNotFoundError:
        return None
    modules = _modules(distribution)
    return Installed(distribution.version, not modules or any(map(_is_there, modules)))


def _modules(distribution: Distribution) -> list[str]:
    """Its modules and packages at the top, as far as it says."""
    told = (distribution.read_text("top_level.txt") or "").split()
    if told:
        return _public(told)
    found = dict.fromkeys(
        path.parts[0] if len(path.parts) > 1 else path.stem
        for path in distribution.files or ()
        if path.name == "__init__.py" or (len(path.parts) == 1 and path.suffix == ".py")
    )
    return _public(found)


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if name.isidentifier() and not name.startswith("_")]


def _is_there(module: str) -> bool:
    try:
        return module in sys.modules or util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def environment(config: Config) -> Environment:
    """Variables that the configuration names, those of CUDA, and GPUs where it asks for them."""
    preflight = config.preflight
    names = [*preflight.variables, CUDA, CUDA_ORDER]
    variables = {name: os.environ.get(name) for name in names}
    if preflight.gpu is None and CUDA not in preflight.variables:
        return Environment(variables)
    try:
        devices = _devices()
    except ModuleNotFoundError:
        return Environment(variables, None, "the package nvidia-ml-py (module pynvml) is not installed")
    except Exception as error:  # noqa: BLE001 - NVML's errors are made at run time, and its own library may be missing
        return Environment(variables, None, f"{type(error).__name__}: {error}")
    return Environment(variables, devices)


def _devices() -> tuple[Device, ...]:
    nvml = import_module("pynvml")
    nvml.nvmlInit()
    try:
        return tuple(_device(nvml, index) for index in range(nvml.nvmlDeviceGetCount()))
    finally:
        nvml.nvmlShutdown()


def _device(nvml: Any, index: int) -> Device:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    uuid, name = (_text(each(handle)) for each in (nvml.nvmlDeviceGetUUID, nvml.nvmlDeviceGetName))
    return Device(index, uuid, name, int(memory.free), int(memory.total), tuple(_parts(nvml, handle)))


def _parts(nvml: Any, handle: Any) -> Iterator[str]:
    """UUIDs of the MIG devices of a GPU: most GPUs have none, and older ones do not know the question."""
    try:
        count = nvml.nvmlDeviceGetMaxMigDeviceCount(handle)
    except nvml.NVMLError:
        return
    for number in range(count):
        try:
            yield _text(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)))
        except nvml.NVMLError:
            continue


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def machine(proc: Path = Path("/proc")) -> Machine:
    """Memory and limits of this process; where there is no /proc, none are known."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Machine(
        _available(proc / "meminfo"),
        None if soft == resource.RLIM_INFINITY else soft,
        None if hard == resource.RLIM_INFINITY else hard,
        cgroup(proc),
    )


def _available(meminfo: Path) -> int | None:
    found = re.search(r"^MemAvailable:\s+(\d+) kB", _read(meminfo) or "", re.MULTILINE)
    return None if found is None else int(found[1]) * 1024


def cgroup(proc: Path) -> Cgroup:
    """The tightest limits of the cgroup (version 2) that this process is in, and of those around it."""
    mounts = [line.split() for line in (_read(proc / "self" / "mountinfo") or "").splitlines()]
    mount = next((words for words in mounts if "-" in words and words[words.index("-") + 1] == "cgroup2"), None)
    own = next((line[3:] for line in (_read(proc / "self" / "cgroup") or "").splitlines() if line[:3] == "0::"), None)
    if mount is None or own is None:
        return Cgroup()
    # In a container the mount may show a part of the tree alone, and the path is the host's.
    root, top = mount[3], Path(mount[4])
    inside = own.removeprefix(root) if root != "/" and own.startswith(root) else own
    here = top.joinpath(*(part for part in inside.split("/") if part not in {"", "."}))
    while not here.is_dir() and here != top:
        here = here.parent
    return _tightest([here, *(each for each in here.parents if each == top or top in each.parents)])


def _tightest(directories: list[Path]) -> Cgroup:
    memory: list[tuple[int, str]] = []
    cpus: list[float] = []
    threads: list[int] = []
    for each in directories:
        memory += [(int(text), str(each / name)) for name in _MEMORY if (text := _limit(each / name)).isdigit()]
        quota, _, period = _limit(each / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit() and int(period):
            cpus.append(int(quota) / int(period))
        most, now = _limit(each / "pids.max"), _limit(each / "pids.current")
        if most.isdigit():
            threads.append(int(most) - (int(now) if now.isdigit() else 0))
    least = min(memory, default=None)
    return Cgroup(
        None if least is None else least[0],
        "" if least is None else least[1],
        min(cpus, default=None),
        min(threads, default=None),
    )


_MEMORY = ("memory.max", "memory.high")


def _limit(file: Path) -> str:
    return (_read(file) or "").strip()


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
