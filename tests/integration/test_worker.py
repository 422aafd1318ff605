"""Workers on Apache Kafka do what one worker does on an embedded log, record for record."""

from pathlib import Path

import pytest

from tests.integration.conftest import CLIENTS
from tests.integration.jobs import Job, check_same, counted, stream

pytestmark = pytest.mark.broker


@pytest.fixture
def job(broker: str, client: str, tmp_path: Path) -> Job:
    """A group of its own, with a day of records on its topics."""
    job = Job(broker, tmp_path, log_settings={"client": client})
    job.create()
    with job.open() as log:
        job.append(log, stream())
    return job


def test_one_worker_equals_the_embedded_log(job: Job) -> None:
    """Where records live changes neither an alert's bytes, nor what is rejected, nor a count."""
    expected = job.expected(stream())
    assert sum(counted(line)["rejected"] for line in expected.counts) == len(expected.rejected) > 20

    check_same(job.run_to_end(), expected)


@pytest.mark.parametrize("client", CLIENTS)
def test_two_workers_equal_one(job: Job) -> None:
    """More workers of a group are faster, and nothing else: they share the partitions and agree on the end."""
    expected = job.expected(stream())
    config = job.config()
    with job.worker(config, "--until-end") as first, job.worker(config, "--until-end") as second:
        assert (first.end(), second.end()) == (0, 0)

        check_same(job.results(first), expected)
        worked = [counted(each.lines[-1])["records"] for each in (first, second)]
        assert sum(worked) >= len(stream())


def test_running_again_does_nothing(job: Job) -> None:
    """What was committed is not done twice: a second run adds no alert, no rejected record and no count."""
    first = job.run_to_end()

    check_same(job.run_to_end(), first)
