"""Memory, limits, disks: on made-up facts, on trees of files as the kernel has them, and on a real full disk."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from streamguard.doctor.checks.machine import disks, limits, profiles, window
from streamguard.doctor.facts import Cgroup, Disk, Machine, ProfileFile, Sample
from streamguard.doctor.gathering import files, machine
from tests.doctor.helpers import codes, config

GIB = 1 << 30
DAY_MS = 86_400_000
FINE = Machine(64 * GIB, 1024, 4096)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (FINE, []),
        (Machine(None, None), []),
        (Machine(1 * GIB, 1024), ["memory-limit"]),
        (Machine(64 * GIB, 1024, None, Cgroup(GIB, "/sys/fs/cgroup/a/memory.max")), ["memory-limit"]),
        (Machine(3 * GIB, 1024), ["memory-caps"]),
        (Machine(64 * GIB, 1024, None, Cgroup(cpus=0.5)), ["cpu-limit"]),
        (Machine(64 * GIB, 1024, None, Cgroup(threads_left=10)), ["pids-limit"]),
        (Machine(64 * GIB, 64, 4096), ["descriptors-low"]),
    ],
)
def test_limits(facts: Machine, expected: list[str]) -> None:
    """Four partitions, each of which may hold 1 GiB."""
    assert codes(limits(config(), facts, 4, 3)) == expected


def test_who_limits_the_memory_is_named() -> None:
    """A cgroup of a pod, or of what is around it."""
    (found,) = limits(config(), Machine(64 * GIB, 1024, None, Cgroup(GIB, "/sys/fs/cgroup/pod/memory.high")), 4, 3)

    assert (
        found.what
        == "one partition may hold 1 GiB (join.max_waiting_bytes), and /sys/fs/cgroup/pod/memory.high is 1 GiB"
    )
    assert "lower join.max_waiting_bytes" in found.mend


def test_descriptors_are_counted_by_what_the_configuration_opens() -> None:
    """RocksDB keeps its files open; and where the hard limit is in the way, that is said."""
    stored = config(join={"store": {"directory": "/x"}})
    (found,) = limits(stored, Machine(None, 1024, 1024), 4, 3)

    assert "raise the hard limit" in found.mend
    assert codes(limits(stored, Machine(None, 4096), 4, 3)) == []


def test_a_window_that_does_not_fit() -> None:
    """A hundred bytes for each record that lies within it now."""
    samples = [Sample("predictions", windows={0: 40_000_000, 1: 40_000_000}), Sample("labels", windows={0: 60_000_000})]

    assert codes(window(config(), Machine(4 * GIB, None), samples)) == ["memory-window"]
    assert codes(window(config(), Machine(10 * GIB, None), samples)) == []
    assert codes(window(config(join={"store": {"directory": "/x"}}), Machine(4 * GIB, None), samples)) == []


@pytest.mark.parametrize(
    ("disk", "expected"),
    [
        (Disk("log.path", "/x", 100 * GIB, None, bytes_per_s=1e9, fsync_ms=2), []),
        (Disk("log.path", "/x", 0, "Permission denied"), ["disk-unwritable"]),
        (Disk("log.path", "/x", 0, "No space left on device", is_full=True), ["disk-full"]),
        (Disk("log.path", "/x", 1 << 20, None, bytes_per_s=1e9, fsync_ms=2), ["disk-full"]),
        (Disk("log.path", "/x", 500 << 20, None, bytes_per_s=1e9, fsync_ms=2), ["disk-low"]),
        (Disk("join.store.directory", "/x", GIB, None, bytes_per_s=1e9, fsync_ms=2), ["disk-low"]),
        (Disk("log.path", "/x", 100 * GIB, None, bytes_per_s=1e6, fsync_ms=2), ["disk-slow"]),
        (Disk("log.path", "/x", 100 * GIB, None, bytes_per_s=1e9, fsync_ms=300), ["disk-slow"]),
    ],
)
def test_disks(disk: Disk, expected: list[str]) -> None:
    """What is kept there decides how much must be free."""
    assert codes(disks(config(), [disk])) == expected


def test_profiles() -> None:
    """One that cannot be used, and ages; a file of steps alone has none."""
    facts = [
        ProfileFile("a", "p.json", None, 100 * DAY_MS),
        ProfileFile("b", "p.json", None, 200 * DAY_MS),
        ProfileFile("c", "p.json", "p.json: is no profile", 0),
        ProfileFile("d", None, None),
    ]

    assert codes(profiles(config(), facts)) == ["profile-old", "profile-unusable"]
    assert codes(profiles(config(preflight={"profile_max_age": None}), facts)) == ["profile-unusable"]


def tree(directory: Path, own: str, root: str = "/", **values: dict[str, str]) -> Path:
    """/proc and a mounted cgroup tree, by path below the mount the files there."""
    mount = directory / "cgroup"
    (directory / "proc" / "self").mkdir(parents=True)
    (directory / "proc" / "self" / "mountinfo").write_text(
        f"22 1 0:20 / /proc rw - proc proc rw\n31 23 0:27 {root} {mount} rw,nosuid shared:9 - cgroup2 cgroup2 rw\n"
    )
    (directory / "proc" / "self" / "cgroup").write_text(f"1:name=systemd:/x\n0::{own}\n")
    mount.mkdir()
    for path, files_ in values.items():
        inner = mount.joinpath(*path.split("__"))
        inner.mkdir(parents=True, exist_ok=True)
        for name, text in files_.items():
            (inner / name.replace("_", ".")).write_text(f"{text}\n")
    return directory / "proc"


def test_the_tightest_limit_of_all_cgroups_around_counts(tmp_path: Path) -> None:
    """A pod's limit is above the container's own; max is none."""
    proc = tree(
        tmp_path,
        "/pod/container",
        pod={"memory_max": "2000", "cpu_max": "50000 100000", "pids_max": "max"},
        pod__container={
            "memory_max": "max",
            "memory_high": "3000",
            "cpu_max": "max 100000",
            "pids_max": "100",
            "pids_current": "40",
        },
    )

    assert machine.cgroup(proc) == Cgroup(2000, str(tmp_path / "cgroup" / "pod" / "memory.max"), 0.5, 60)


def test_a_container_sees_a_part_of_the_tree_alone(tmp_path: Path) -> None:
    """The path is the host's, the mount begins at the container; or the path leads nowhere."""
    proc = tree(tmp_path, "/kubepods/pod1/c1", "/kubepods/pod1", c1={"memory_max": "77"})

    assert machine.cgroup(proc).memory_bytes == 77
    (proc / "self" / "cgroup").write_text("0::/../../elsewhere/not/here\n")
    (tmp_path / "cgroup" / "memory.max").write_text("88\n")
    assert machine.cgroup(proc).memory_bytes == 88


def test_no_cgroup_and_no_proc(tmp_path: Path) -> None:
    """On another system nothing is known, and nothing raises."""
    assert machine.cgroup(tmp_path) == Cgroup()
    assert machine.machine(tmp_path).memory_bytes is None


def test_this_process_is_seen() -> None:
    """The limit is the kernel's."""
    facts = machine.machine()

    assert facts.descriptors in {resource.getrlimit(resource.RLIMIT_NOFILE)[0], None}
    assert facts.memory_bytes is None or facts.memory_bytes > 0


def test_a_probe_leaves_nothing_behind(tmp_path: Path) -> None:
    """Of a directory that is not there yet, the one around it is tried."""
    found = files.disk("log.path", tmp_path / "not" / "yet")

    assert found.path == str(tmp_path)
    assert found.problem is None
    assert found.bytes_per_s is not None
    assert found.bytes_per_s > 0
    assert list(tmp_path.iterdir()) == []


SEE = """
import sys
from pathlib import Path
from tests.doctor.helpers import codes, config
from streamguard.doctor.checks.machine import disks
from streamguard.doctor.gathering import files
print(codes(disks(config(), [files.disk("log.path", Path(sys.argv[1]))])), list(Path(sys.argv[1]).iterdir()))
"""
ALONE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
CAN_MOUNT = bool(shutil.which("unshare")) and (
    subprocess.run([*ALONE, "sh", "-c", "mount -t tmpfs tmpfs /mnt"], capture_output=True, check=False).returncode == 0
)


@pytest.mark.skipif(not CAN_MOUNT, reason="no file system may be mounted here")
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """A file system of 1 MiB, which no other process sees; nothing of the probe is left there."""
    script = f'mount -t tmpfs -o size=1m tmpfs {tmp_path} && exec {sys.executable} -c "$0" {tmp_path}'
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [*ALONE, "sh", "-c", script, SEE],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(root)},
        cwd=root,
        timeout=60,
    )

    assert done.stdout == "['disk-full'] []\n"
