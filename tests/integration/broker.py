"""Apache Kafka itself on this machine, for tests and benchmarks: `python -m tests.integration.broker --help`.

Java and Maven run it, no container: Maven fetches the jars once into `.kafka/libs` beside this file.
"""

import fcntl
import shutil
import socket
import subprocess
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

HERE = Path(__file__).parent
LIBS = HERE / ".kafka" / "libs"
START_S = 60
HOW_TO_GET_THEM = "apt-get install openjdk-17-jdk-headless maven"
# Any will do, as long as a data directory that is used again finds its own.
CLUSTER_ID = "4L6g3nShT-eMCtK--X86sw"


class BrokerUnavailableError(Exception):
    """Why there is no broker, and how to get one, in one line."""


def jars() -> Path:
    """Where Kafka's jars are; the first call fetches them."""
    for tool in ("java", "mvn"):
        if shutil.which(tool) is None:
            raise BrokerUnavailableError(f"Apache Kafka needs {tool}: {HOW_TO_GET_THEM}")
    LIBS.mkdir(parents=True, exist_ok=True)
    # Written last: a fetch that was broken off is begun again.
    complete = LIBS / "complete"
    with (LIBS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            pom = HERE / "kafka" / "pom.xml"
            fetch = ["mvn", "-q", "-B", "-f", str(pom), "dependency:copy-dependencies"]
            done = subprocess.run([*fetch, f"-DoutputDirectory={LIBS}"], capture_output=True, text=True, check=False)
            if done.returncode:
                cause = (done.stdout.strip() or done.stderr.strip() or "no message").splitlines()[0]
                raise BrokerUnavailableError(
                    f"Maven cannot fetch Apache Kafka's jars; with a network, or a mirror in "
                    f"~/.m2/settings.xml, try again: {cause}"
                )
            complete.touch()
    return LIBS


@contextmanager
def running(
    data: Path, *, port: int | None = None, properties: Mapping[str, str] | None = None
) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """The bootstrap address and the process of a broker that keeps its records in `data`."""
    port = free_port(port or 0)
    with launched(data, port, properties or {}) as (process, output):
        wait_until_up(f"127.0.0.1:{port}", process, output)
        yield f"127.0.0.1:{port}", process


@contextmanager
def launched(data: Path, port: int, properties: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """The process of a broker that is about to come up, and where its log is."""
    libs = jars()
    data.mkdir(parents=True, exist_ok=True)
    config, output = data / "server.properties", data / "kafka.log"
    settings = _properties(data, port, free_port()) | dict(properties)
    config.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    java = ["java", "-Xmx512m", "-cp", f"{libs}/*"]
    storage = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", CLUSTER_ID, "-c", str(config)]
    # Where there is setpriv, the kernel kills the broker with us, however we end.
    leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
    with output.open("wb") as log:
        if subprocess.run([*java, *storage], stdout=log, stderr=log, check=False).returncode:
            raise BrokerUnavailableError(f"Kafka cannot format {data}: {_last_line(output)}")
        process = subprocess.Popen([*leash, *java, "kafka.Kafka", str(config)], stdout=log, stderr=log)
    try:
        yield process, output
    finally:
        process.kill()
        process.wait()


@contextmanager
def shared(directory: Path) -> Iterator[str]:
    """One broker for all processes that name this directory: the first starts it, and outstays the others."""
    with ExitStack() as stack:
        address = directory / "broker-address"
        users = stack.enter_context((directory / "broker-users").open("w"))
        with (directory / "broker-start").open("w") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            is_first = not address.exists()
            if is_first:
                data = Path(stack.enter_context(TemporaryDirectory(prefix="streamguard-kafka-")))
                bootstrap, _ = stack.enter_context(running(data))
                address.write_text(bootstrap)
        try:
            yield address.read_text()
        finally:
            if is_first:
                fcntl.flock(users, fcntl.LOCK_EX)
                address.unlink()


def _properties(data: Path, port: int, controller_port: int) -> dict[str, str]:
    controller = f"127.0.0.1:{controller_port}"
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data / "records"),
        "auto.create.topics.enable": "false",
        # One broker holds the only copy; one partition of each of its own topics starts fastest.
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # Tests that kill members must not wait long until the group notices.
        "group.min.session.timeout.ms": "1000",
        # The coordinator looks only so often for transactions that are past their timeout; default 10 s.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    }


def free_port(wanted: int = 0) -> int:
    """The wanted port, or any; another's broker there would otherwise look like ours."""
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted))
        except OSError as error:
            raise BrokerUnavailableError(f"port {wanted} is taken: {error}") from None
        return int(probe.getsockname()[1])


def _last_line(output: Path) -> str:
    # The jars bring no logger, and say so.
    lines = [line for line in output.read_text(errors="replace").splitlines() if "SLF4J" not in line]
    return lines[-1] if lines else f"it says nothing; see {output.with_name('server.properties')}"


def wait_until_up(bootstrap: str, process: subprocess.Popen[bytes], output: Path) -> None:
    """Raise `BrokerUnavailableError` where it does not come up."""
    deadline = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < deadline:
        if answers(bootstrap):
            return
        time.sleep(0.1)
    state = f"did not answer within {START_S} s" if process.poll() is None else "ended at its start"
    raise BrokerUnavailableError(f"Kafka {state}: {_last_line(output)}")


def answers(bootstrap: str) -> bool:
    """Whether a broker there is up."""
    host, port = bootstrap.split(":")
    try:
        # Cheap, and quiet, where nobody listens yet.
        socket.create_connection((host, int(port)), timeout=1).close()
        with closing(KafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)) as admin:
            return bool(admin.describe_cluster()["brokers"])
    except (OSError, KafkaError):
        return False


def main() -> None:
    """Run a broker until it is interrupted."""
    parser = ArgumentParser(prog="python -m tests.integration.broker", description=main.__doc__)
    parser.add_argument("--port", type=int, help="default: any that is free")
    parser.add_argument("--data", type=Path, help="default: a directory that is deleted at the end")
    arguments = parser.parse_args()
    with ExitStack() as stack:
        data = arguments.data or Path(stack.enter_context(TemporaryDirectory(prefix="streamguard-kafka-")))
        try:
            bootstrap, process = stack.enter_context(running(data, port=arguments.port))
        except BrokerUnavailableError as error:
            parser.exit(3, f"{error}\n")
        print(bootstrap, flush=True)  # noqa: T201 (what was asked for)
        process.wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
