"""What Linux says of limits and use: cgroup v2, /proc, rlimits. Elsewhere, or where it cannot be read: None."""

import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

try:
    import resource
except ModuleNotFoundError:  # not on Windows
    resource = None  # type: ignore[assignment]

_ROOT = Path("/")
_KIB = 1024


class Machine:
    """Reads below `root`, which a test may make up."""

    def __init__(self, root: Path = _ROOT) -> None:
        self._root = root

    def cpu(self) -> dict[str, Any]:
        """Number of CPUs, how many this process may use, and the cgroup's limit, in CPUs."""
        affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        limits = [limit for group in self._groups() if (limit := _cpus(_text(group / "cpu.max"))) is not None]
        return {"count": os.cpu_count(), "affinity": affinity, "limit": min(limits, default=None)}

    def memory(self) -> dict[str, Any]:
        """Bytes: the lowest limit around this process, what counts against it, and what is this process's own.

        `used` is what the kernel cannot take back at once: without the page cache that is not in use. A model file that
        was read once, by whom ever, would otherwise look like trouble.
        """
        tightest = self._tightest()
        address_space = _rlimit("RLIMIT_AS")
        status = _table(_text(self._root / "proc/self/status"))
        own = {"rss": _kib(status.get("VmRSS")), "peak": _kib(status.get("VmHWM"))}
        if tightest is not None:
            limit, used = tightest
            if address_space is None or limit <= address_space:
                return {"limit": limit, "used": used, **own}
        if address_space is not None:
            return {"limit": address_space, "used": _kib(status.get("VmSize")), **own}
        return {"limit": None, "used": self._used(), **own}

    def files(self) -> dict[str, Any]:
        """File descriptors: open, and how many may be."""
        try:
            count = len(os.listdir(self._root / "proc/self/fd"))  # noqa: PTH208 - only their number
        except OSError:
            count = None
        return {"open": count, "limit": _rlimit("RLIMIT_NOFILE")}

    def started_ms(self) -> int | None:
        """When this process began, in epoch milliseconds."""
        stat = _text(self._root / "proc/self/stat")
        boot = next(
            (line.split()[1] for line in (_text(self._root / "proc/stat") or "").splitlines() if "btime" in line), None
        )
        if stat is None or boot is None:
            return None
        try:
            # After the name in parentheses, which may hold spaces, it is the twentieth field.
            ticks = int(stat.rpartition(")")[2].split()[19])
            return int(boot) * 1000 + ticks * 1000 // os.sysconf("SC_CLK_TCK")
        except (IndexError, ValueError, OSError):
            return None

    def _groups(self) -> Iterator[Path]:
        """The directory of this process's cgroup, and those around it: each may have a limit."""
        mount = self._root / "sys/fs/cgroup"
        if not (mount / "cgroup.controllers").exists():
            return
        lines = (_text(self._root / "proc/self/cgroup") or "").splitlines()
        own = next((line[3:] for line in lines if line.startswith("0::")), "/")
        group = Path(os.path.normpath(f"{mount}/{own}"))
        # A container may see its group as the root, or know it by a name from outside that is not there.
        groups = [group, *group.parents]
        for each in groups[: groups.index(mount) + 1] if mount in groups else [mount]:
            if each.is_dir():
                yield each

    def _tightest(self) -> tuple[int, int | None] | None:
        """The limit that is the nearest to be reached, and what is used of it."""
        found: list[tuple[int, int | None]] = []
        for group in self._groups():
            limit = _text(group / "memory.max")
            if limit is not None and limit.isdigit():
                found.append((int(limit), _used(group)))
        return min(found, key=lambda each: (each[0] - (each[1] or 0), each[0]), default=None)

    def _used(self) -> int | None:
        return next((used for group in self._groups() if (used := _used(group)) is not None), None)


def system() -> dict[str, str | None]:
    """Kernel, C library and architecture."""
    libc = " ".join(part for part in platform.libc_ver() if part)
    return {
        "os": platform.system() or None,
        "kernel": platform.release() or None,
        "libc": libc or None,
        "arch": platform.machine() or None,
    }


def _used(group: Path) -> int | None:
    current = _text(group / "memory.current")
    if current is None or not current.isdigit():
        return None
    inactive = _table(_text(group / "memory.stat")).get("inactive_file", "0")
    return max(0, int(current) - int(inactive)) if inactive.isdigit() else int(current)


def _cpus(text: str | None) -> float | None:
    quota, _, period = (text or "").partition(" ")
    return round(int(quota) / int(period), 3) if quota.isdigit() and period.isdigit() and int(period) else None


def _rlimit(name: str) -> int | None:
    if resource is None or not hasattr(resource, name):
        return None
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft == resource.RLIM_INFINITY else soft


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return None


def _table(text: str | None) -> dict[str, str]:
    """`name value` or `name:  value` in each line."""
    lines = (line.replace(":", " ", 1).split(None, 1) for line in (text or "").splitlines())
    return {parts[0]: parts[1].strip() for parts in lines if len(parts) == 2}


def _kib(text: str | None) -> int | None:
    number = (text or "").removesuffix("kB").strip()
    return int(number) * _KIB if number.isdigit() else None
