"""Disks that state is kept on, and profiles."""

import errno
import os
import statistics
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from streamguard.config import Config, EmbeddedLog
from streamguard.doctor.facts import Disk, ProfileFile
from streamguard.errors import StreamguardError
from streamguard.worker.topology import references

_PROBE_BYTES = 8 << 20
_CHUNK = bytes(1 << 20)
_SYNCS = 5
_PROBE_S = 3.0
_FULL = {errno.ENOSPC, errno.EDQUOT}


def disks(config: Config) -> list[Disk]:
    """The directories that a worker of this configuration writes to."""
    found = []
    if config.join.store.directory is not None:
        found.append(disk("join.store.directory", Path(config.join.store.directory)))
    if isinstance(config.log, EmbeddedLog):
        found.append(disk("log.path", Path(config.log.path).parent))
    return found


def disk(setting: str, wanted: Path) -> Disk:
    """Free space, and the speed of writing: a probe of 8 MiB at most is written there and removed."""
    path = wanted.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        told = os.statvfs(path)
        free = told.f_bavail * told.f_frsize
        speed, fsync_ms = _probe(path)
    except OSError as error:
        is_full = error.errno in _FULL
        return Disk(setting, str(path), 0, error.strerror or str(error), is_full)
    return Disk(setting, str(path), free, bytes_per_s=speed, fsync_ms=fsync_ms)


def _probe(directory: Path) -> tuple[float, float]:
    """Bytes a second, and how long it takes to sync a small change, in milliseconds."""
    handle, name = tempfile.mkstemp(prefix=".streamguard-doctor-", dir=directory)
    try:
        began_s, written = time.monotonic(), 0
        while written < _PROBE_BYTES and time.monotonic() - began_s < _PROBE_S:
            written += os.write(handle, _CHUNK)
        os.fsync(handle)
        speed = written / max(time.monotonic() - began_s, 1e-6)
        syncs: list[float] = []
        for _ in range(_SYNCS):
            since_s = time.monotonic()
            os.write(handle, b"0")
            os.fsync(handle)
            syncs.append((time.monotonic() - since_s) * 1000)
        return speed, statistics.median(syncs)
    finally:
        os.close(handle)
        with suppress(OSError):
            Path(name).unlink()


def profiles(config: Config, now_ms: int) -> list[ProfileFile]:
    """What a worker would read at its start for each monitor, and how old the files are."""
    found = []
    for index, monitor in enumerate(config.monitors):
        if monitor.data is None:
            continue
        try:
            references(config.model_copy(update={"monitors": (monitor,)}))
            problem = None
        except StreamguardError as error:
            problem = str(error).replace("monitors.0.", f"monitors.{index}.")
        path = monitor.data.profile
        age_ms = None
        if path is not None:
            with suppress(OSError):
                age_ms = now_ms - int(Path(path).stat().st_mtime * 1000)
        found.append(ProfileFile(monitor.name, path, problem, age_ms))
    return found
