"""Kafka Streams, measured; see benchmarks/peers/README.md."""

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[2]))

from benchmarks.peers.harness import Peer, main


def prepare(home: Path) -> None:
    """Compile with Maven, and fetch the jars."""
    maven = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), f"-Dtarget={home}"]
    goals = ["compile", "dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={home / 'libs'}"]
    subprocess.run([*maven, *goals], check=True, stdout=sys.stderr)


def command(home: Path) -> list[str]:
    """Java with the class path."""
    return ["java", "-Xmx2g", "-cp", f"{home / 'classes'}:{home / 'libs'}/*", "Mismatches"]


SOURCES = (HERE / "pom.xml", *sorted(HERE.glob("src/**/*.java")))

if __name__ == "__main__":
    main(Peer("kafka-streams", ("exactly_once_v2", "at_least_once"), SOURCES, prepare, command))
