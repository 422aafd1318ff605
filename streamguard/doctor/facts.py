"""What was seen: plain values that checks judge, and that tests make up. None stands for what could not be seen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from streamguard.core.records import Batch

# This machine.


@dataclass(frozen=True, slots=True)
class Installed:
    """A package: which version, and whether its modules are there."""

    version: str
    is_importable: bool = True


@dataclass(frozen=True, slots=True)
class Packages:
    """This Python and what is installed for it; names are normal, as PEP 503 has them."""

    python: str
    installed: Mapping[str, Installed]
    requires_python: str | None = None
    """What streamguard asks for; None: its metadata is not there."""
    requires: tuple[str, ...] = ()
    """What streamguard asks for, as requirements of PEP 508."""


@dataclass(frozen=True, slots=True)
class Device:
    """A GPU, or a part of one (MIG), as NVML tells."""

    index: int
    uuid: str
    name: str
    free_bytes: int
    total_bytes: int
    parts: tuple[str, ...] = ()
    """UUIDs of its MIG devices."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Variables by name, None where one is not set, and GPUs."""

    variables: Mapping[str, str | None]
    devices: tuple[Device, ...] | None = None
    nvml_problem: str | None = None
    """Why NVML could not be asked."""


@dataclass(frozen=True, slots=True)
class Cgroup:
    """Limits of the control group and of all around it, each the tightest; None: no limit."""

    memory_bytes: int | None = None
    """Of memory.max and memory.high."""
    memory_from: str = ""
    """The file that says so."""
    cpus: float | None = None
    threads_left: int | None = None
    """Of pids.max, less what runs there."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is of it. `memory_bytes` is what is available to new programs."""

    memory_bytes: int | None
    descriptors: int | None
    """RLIMIT_NOFILE, the soft limit; None: no limit."""
    descriptors_hard: int | None = None
    cgroup: Cgroup = Cgroup()


@dataclass(frozen=True, slots=True)
class Disk:
    """A directory that state is kept in, or will be."""

    setting: str
    path: str
    """Of the directory itself, or of the nearest around it that exists."""
    free_bytes: int
    problem: str | None = None
    """Why the probe could not be written."""
    is_full: bool = False
    bytes_per_s: float | None = None
    fsync_ms: float | None = None
    """Median of several."""


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """The profile and the steps of one monitor, as a worker would read them."""

    monitor: str
    path: str | None
    problem: str | None
    age_ms: int | None = None


# The network.


@dataclass(frozen=True, slots=True)
class Tls:
    """How the handshake ended. `problem` is one of untrusted, expired, hostname, failed, silent."""

    problem: str | None
    detail: str = ""
    names: tuple[str, ...] = ()
    """Names in the certificate."""
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Kafka:
    """What a port answers to Kafka's first requests."""

    speaks: bool
    is_closed_on_us: bool = False
    speaks_tls: bool = False
    """Without TLS it does not answer, with it it does."""
    speaks_plain: bool = False
    """With TLS it does not answer, without it it does."""
    mechanisms: tuple[str, ...] | None = None
    """SASL mechanisms that it offers; None: it does not ask who we are."""

    def admits(self, mechanism: str | None) -> bool:
        """Whether one who comes with this SASL mechanism, or with none, may say who he is."""
        return self.speaks and (mechanism is None if self.mechanisms is None else mechanism in self.mechanisms)


@dataclass(frozen=True, slots=True)
class Reach:
    """The way to one host and port, as far as it goes."""

    host: str
    port: int
    resolve_problem: str | None = None
    connect_problem: str | None = None
    is_refused: bool = False
    tls: Tls | None = None
    kafka: Kafka | None = None

    @property
    def place(self) -> str:
        """As host:port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_open(self) -> bool:
        """Whether a connection can be made, encrypted where it must be."""
        blocked = self.resolve_problem or self.connect_problem or (self.tls is not None and self.tls.problem)
        return not blocked


@dataclass(frozen=True, slots=True)
class HandlerReach:
    """Where a handler delivers; exactly one of `problem`, `proxy` and `reach` is set, none where all is well."""

    name: str
    type: str
    problem: str | None = None
    proxy: str | None = None
    reach: Reach | None = None


# The cluster.


@dataclass(frozen=True, slots=True)
class Cluster:
    """How the brokers answer, and how they are set; `skew_ms` is how far their clock is ahead of ours, give or take."""

    round_trips_ms: tuple[float, ...] = ()
    skew_ms: float | None = None
    skew_give_or_take_ms: float = 0.0
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of one broker; empty where we may not ask."""


@dataclass(frozen=True, slots=True)
class Partition:
    """Where a partition's copies are."""

    number: int
    leader: int
    """-1: none."""
    replicas: int
    in_sync: int


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the log describes it; `settings` are empty where we may not ask, or where the log has none."""

    name: str
    exists: bool
    is_hidden: bool = False
    """We may not even see whether it exists."""
    partitions: tuple[Partition, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    operations: frozenset[str] | None = None
    """What we may do with it; None: not told."""

    def number(self, name: str) -> int | None:
        """A setting that is a number; None where it is unknown, or -1 for no limit."""
        text = self.settings.get(name, "")
        return int(text) if text.isdigit() else None


@dataclass(frozen=True, slots=True)
class Creation:
    """What the broker says to a topic that we would make, without making it."""

    name: str
    partitions: int
    problem: str | None = None
    is_forbidden: bool = False
    replicas: int | None = None
    min_insync: int | None = None


@dataclass(frozen=True, slots=True)
class Committed:
    """What the group has committed in a partition."""

    topic: str
    partition: int
    offset: int
    note: str
    start: int | None
    """Where the partition starts and ends now."""
    end: int | None


@dataclass(frozen=True, slots=True)
class Group:
    """A consumer group."""

    name: str
    problem: str | None = None
    is_forbidden: bool = False
    state: str = ""
    protocol: str = ""
    members: tuple[str, ...] = ()
    committed: tuple[Committed, ...] = ()


@dataclass(frozen=True, slots=True)
class Transactions:
    """Whether we may use transactional IDs of this beginning."""

    prefix: str
    problem: str | None = None
    is_forbidden: bool = False


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest records of each partition of an input, and how many there are within the time to be kept."""

    topic: str
    batches: tuple[Batch, ...] = ()
    now_ms: int = 0
    """When it was taken."""
    windows: Mapping[int, int] = field(default_factory=dict)
    """By partition: records that a restart would have to read back now."""
    problem: str | None = None
