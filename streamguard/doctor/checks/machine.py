"""Memory, CPU, descriptors, disks, profiles."""

from collections.abc import Iterator, Mapping, Sequence

from streamguard.config import Config
from streamguard.core.waiting import RECORD_BYTES
from streamguard.doctor.facts import Disk, Machine, ProfileFile, Sample
from streamguard.doctor.finding import Finding
from streamguard.doctor.words import duration, size

# A worker with its imports and clients, before it holds a record: about 150 MiB resident.
_BASE_BYTES = 256 << 20
_THREADS = 64
# Files and sockets of Python itself, and for each broker a connection of the consumer, the producer and both admins.
_DESCRIPTORS, _CONNECTIONS = 64, 4
# RocksDB keeps its files open; each handler has clients of its own.
_STORE_DESCRIPTORS = 1024
_DISK_LEAST, _DISK_LOW = 64 << 20, 1 << 30
_DISK_SLOW, _SYNC_SLOW_MS = 5e6, 100.0
_DISK_RECORD_BYTES, _ID_BYTES = 80, 36


def limits(config: Config, facts: Machine, partitions: int | None, brokers: int) -> Iterator[Finding]:
    """Whether a worker fits; `partitions` of each input, None where not known."""
    has, source = _memory(facts)
    cap = config.join.max_waiting_bytes
    mend = "lower join.max_waiting_bytes, raise the limit, or set join.store.directory"
    if has is not None and _BASE_BYTES + cap > has:
        yield Finding(
            "memory-limit",
            f"one partition may hold {size(cap)} (join.max_waiting_bytes), and {source} {size(has)}",
            mend,
        )
    elif has is not None and partitions is not None and _BASE_BYTES + partitions * cap > has:
        yield Finding(
            "memory-caps",
            f"{partitions} partitions may hold {size(partitions * cap)} in all, and {source} {size(has)}",
            f"run {-(-partitions * cap // max(1, has - _BASE_BYTES))} workers or more, or {mend}",
        )
    group = facts.cgroup
    if group.cpus is not None and group.cpus < 1:
        yield Finding("cpu-limit", f"the cgroup allows {group.cpus:.2g} CPUs", "raise cpu.max to 1 CPU at least")
    if group.threads_left is not None and group.threads_left < _THREADS:
        yield Finding(
            "pids-limit",
            f"the cgroup allows {max(0, group.threads_left)} more threads, and {_THREADS} should be left",
            "raise pids.max of the cgroup (docker: --pids-limit)",
        )
    yield from _descriptors(config, facts, brokers)


def _memory(facts: Machine) -> tuple[int | None, str]:
    """How much a worker may take, and who says so."""
    limit, free = facts.cgroup.memory_bytes, facts.memory_bytes
    if limit is not None and (free is None or limit <= free):
        return limit, f"{facts.cgroup.memory_from} is"
    return free, "the memory that is available is"


def _descriptors(config: Config, facts: Machine, brokers: int) -> Iterator[Finding]:
    needed = _DESCRIPTORS + _CONNECTIONS * max(1, brokers) * (1 + len(config.handlers))
    needed += _STORE_DESCRIPTORS if config.join.store.directory is not None else 0
    if facts.descriptors is not None and facts.descriptors < needed:
        hard = facts.descriptors_hard
        how = f"ulimit -n {needed}" if hard is None or hard >= needed else "raise the hard limit (root: limits.conf)"
        yield Finding(
            "descriptors-low",
            f"this process may open {facts.descriptors} files (RLIMIT_NOFILE), and about {needed} are needed",
            f"{how}; systemd: LimitNOFILE={needed}; docker: --ulimit nofile={needed}",
        )


def window(config: Config, facts: Machine, samples: Sequence[Sample]) -> Iterator[Finding]:
    """Whether what lies within the window now fits into memory, were one worker to have all of it."""
    has, source = _memory(facts)
    if has is None or config.join.store.directory is not None:
        return
    # What must be read back is twice the window, and the join holds one.
    held = sum(sum(sample.windows.values()) for sample in samples) // 2
    needed = _BASE_BYTES + held * RECORD_BYTES
    if needed > has:
        yield Finding(
            "memory-window",
            f"about {held:,} records lie within the join window, which take {size(needed)}, and {source} {size(has)}",
            "shorten join.after, set join.store.directory, raise the limit, or spread partitions over more workers",
        )


def disks(config: Config, facts: Sequence[Disk]) -> Iterator[Finding]:
    """Directories that state is kept in."""
    for each in facts:
        where = f"{each.path!r} ({each.setting})"
        if each.problem is not None and not each.is_full:
            yield Finding(
                "disk-unwritable",
                f"{where} cannot be written: {each.problem}",
                f"give this user write access, or name another directory in {each.setting}",
            )
        elif each.is_full or each.free_bytes < _DISK_LEAST:
            yield Finding(
                "disk-full",
                f"{where} has {size(each.free_bytes)} free",
                f"free space, or name another directory in {each.setting}",
            )
        else:
            yield from _room(config, each, where)


def _room(config: Config, disk: Disk, where: str) -> Iterator[Finding]:
    needed = _DISK_LOW
    if disk.setting == "join.store.directory":
        # Twice, while RocksDB has not given back what was deleted.
        needed = max(needed, 2 * config.join.max_waiting * (_DISK_RECORD_BYTES + _ID_BYTES))
    if disk.free_bytes < needed:
        yield Finding(
            "disk-low",
            f"{where} has {size(disk.free_bytes)} free, and up to {size(needed)} may be needed",
            "free space, lower join.max_waiting, or use another disk",
        )
    is_slow = disk.bytes_per_s is not None and disk.bytes_per_s < _DISK_SLOW
    if is_slow or (disk.fsync_ms or 0) > _SYNC_SLOW_MS:
        yield Finding(
            "disk-slow",
            f"{where} takes {size(disk.bytes_per_s or 0)} a second, and {disk.fsync_ms or 0:.0f} ms to sync a byte",
            f"name a directory on a local disk in {disk.setting}",
        )


def profiles(config: Config, facts: Sequence[ProfileFile]) -> Iterator[Finding]:
    """Whether each can be used, and its age."""
    oldest = config.preflight.profile_max_age_ms
    for each in facts:
        if each.problem is not None:
            yield Finding(
                "profile-unusable",
                f"monitor {each.monitor!r}: {each.problem}",
                "mend its data section, or build the profile anew: streamguard profile build",
            )
        elif oldest is not None and each.age_ms is not None and each.age_ms > oldest:
            yield Finding(
                "profile-old",
                f"the profile {each.path!r} of monitor {each.monitor!r} was written {duration(each.age_ms)} ago, and"
                f" preflight.profile_max_age is {duration(oldest)}",
                f"streamguard profile build --from TRAINING_DATA -o {each.path}",
            )


def unfinished(names: Mapping[str, str]) -> Iterator[Finding]:
    """Parts that gave no answer, each with the reason."""
    for name, reason in names.items():
        yield Finding(
            "check-unfinished", f"{name} could not be looked at: {reason}", "mend what is slow, and run again"
        )
