"""Limits and use, read from trees of files as Linux has them."""

import os
from pathlib import Path

import pytest

from streamguard.fingerprints.machine import Machine

MIB = 1 << 20


def tree(root: Path, own: str, groups: dict[str, dict[str, str]]) -> Machine:
    """A machine with cgroup v2, this process in the group `own`."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(f"0::{own}\n")
    (root / "proc/self/status").write_text("Name:\tpython\nVmHWM:\t   2048 kB\nVmRSS:\t   1024 kB\n")
    mount = root / "sys/fs/cgroup"
    mount.mkdir(parents=True)
    (mount / "cgroup.controllers").write_text("cpu memory\n")
    for name, files in groups.items():
        (mount / name).mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (mount / name / file).write_text(f"{text}\n")
    return Machine(root)


def test_the_limit_that_is_the_nearest_counts(tmp_path: Path) -> None:
    """The group around ours is nearly full; ours is not. The page cache that is not in use does not count."""
    stat = f"anon 5\ninactive_file {100 * MIB}\nactive_file 7"
    machine = tree(
        tmp_path,
        "/pod/container",
        {
            "pod": {"memory.max": str(500 * MIB), "memory.current": str(590 * MIB), "memory.stat": stat},
            "pod/container": {
                "memory.max": str(400 * MIB),
                "memory.current": str(100 * MIB),
                "cpu.max": "150000 100000",
            },
        },
    )
    (tmp_path / "sys/fs/cgroup/pod/cpu.max").write_text("max 100000\n")
    assert machine.memory() == {"limit": 500 * MIB, "used": 490 * MIB, "rss": MIB, "peak": 2 * MIB}
    assert machine.cpu()["limit"] == 1.5


def test_a_container_that_sees_its_group_as_the_root(tmp_path: Path) -> None:
    """Whatever /proc says its name is."""
    files = {"memory.max": str(64 * MIB), "memory.current": str(32 * MIB), "cpu.max": "max 100000"}
    machine = tree(tmp_path, "/../../kubepods/pod7", {".": files})
    assert machine.memory()["limit"] == 64 * MIB
    assert machine.memory()["used"] == 32 * MIB
    assert machine.cpu()["limit"] is None


@pytest.mark.parametrize("junk", ["", "max", "many", "-1", "1 2 3"])
def test_what_cannot_be_read_is_not_known(tmp_path: Path, junk: str) -> None:
    """Nothing is raised."""
    files = dict.fromkeys(("memory.max", "memory.current", "memory.stat", "cpu.max"), junk)
    machine = tree(tmp_path, "/", {".": files})
    assert machine.memory()["limit"] is None
    assert machine.cpu()["limit"] is None
    assert Machine(tmp_path / "nowhere").started_ms() is None
    assert Machine(tmp_path / "nowhere").files()["open"] is None


def test_this_machine() -> None:
    """As it is: plausible, where it is Linux."""
    machine = Machine()
    if Path("/proc/self/status").exists():
        assert (machine.memory()["rss"] or 0) > MIB
        assert (machine.files()["open"] or 0) >= 3
        started_ms, now_ms = machine.started_ms() or 0, Path("/proc/self").stat().st_mtime * 1000
        assert 0 < started_ms <= now_ms + 2000
    assert machine.cpu()["count"] == os.cpu_count()
