"""The doctor on a real Kafka: one thing made wrong at a time, named with its mend; and nothing wrong."""

import os
import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from streamguard.config import parse
from streamguard.logs.opening import open_log
from streamguard.worker.running import run_worker
from tests.integration.broker import free_port
from tests.integration.doctoring import COUNT, Setup, doctor, labels, predictions, seconds_ago_ms
from tests.logs.helpers import join

pytestmark = pytest.mark.broker

COMMAND = [sys.executable, "-W", "ignore", "-c", "from streamguard.cli import main; main()", "doctor"]


@pytest.fixture
def setup(broker: str) -> Setup:
    """Names of a test's own."""
    return Setup(broker)


def test_a_clean_setup_has_no_finding(setup: Setup) -> None:
    """Whoever sees a finding where nothing is wrong reads none of them again."""
    config = setup.filled().config()
    before = doctor(config)
    run_worker(parse(config), until_end=True, echo=lambda _: None)
    after = doctor(config)

    assert (before.exit_code, before.codes) == (0, {"topic-to-create"})
    assert (after.exit_code, after.codes) == (0, set())


def test_looking_changes_nothing(setup: Setup) -> None:
    """No topic is made, no group joined, no record written."""
    log = open_log(parse(setup.filled().config()).log)
    config = parse(setup.config())
    before = [log.spans(topic) for topic in (setup.predictions, setup.labels)]
    doctor(setup.config())

    assert [log.spans(topic) for topic in (setup.predictions, setup.labels)] == before
    assert set(log.topics(config.topics.values())) == {setup.predictions, setup.labels}
    log.close()


def test_a_wrong_port_is_named_within_seconds_and_local_checks_go_on(setup: Setup) -> None:
    """The most frequent fault; what can be said without Kafka is said."""
    port = free_port()
    config = setup.config(
        log={"bootstrap_servers": f"127.0.0.1:{port}"}, preflight={"packages": {"no-such-package": ""}}
    )
    report = doctor(config)

    assert report.exit_code == 3
    assert report.codes == {"port-refused", "package-missing"}
    assert f"127.0.0.1:{port}" in report.of("port-refused")["what"]


def test_a_name_without_address(setup: Setup) -> None:
    """`.invalid` never resolves (RFC 2606)."""
    report = doctor(setup.config(log={"bootstrap_servers": "kafka.invalid:9092"}))

    assert (report.exit_code, report.codes) == (3, {"name-unresolved"})
    assert "kafka.invalid" in report.of("name-unresolved")["what"]


def test_one_of_two_servers_is_wrong(setup: Setup) -> None:
    """The others carry on, so the log is reached."""
    servers = [setup.bootstrap, f"127.0.0.1:{free_port()}"]
    report = doctor(setup.filled().config(log={"bootstrap_servers": servers}))

    assert (report.exit_code, report.wrong()) == (1, {"port-refused"})


def test_a_port_that_never_answers_takes_seconds_and_not_minutes(setup: Setup) -> None:
    """A broker that hangs still takes connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        began_s = time.monotonic()
        report = doctor(setup.config(log={"bootstrap_servers": f"127.0.0.1:{server.getsockname()[1]}"}))

    assert (report.exit_code, report.codes) == (3, {"port-silent"})
    assert time.monotonic() - began_s < 30


def test_a_missing_topic(setup: Setup) -> None:
    """A worker does not start without its inputs."""
    setup.create(setup.predictions)
    report = doctor(setup.config())

    assert report.exit_code == 1
    assert report.wrong() == {"topic-missing"}
    assert f"--topic {setup.labels}" in report.of("topic-missing")["mend"]


def test_unequal_partitions(setup: Setup) -> None:
    """A label would never find its prediction."""
    setup.create(setup.predictions, 4)
    setup.create(setup.labels, 3)
    report = doctor(setup.config())

    assert report.wrong() == {"partitions-unequal"}
    assert f"create '{setup.labels}' anew with 4 partitions" in report.of("partitions-unequal")["mend"]


def test_labels_by_another_partitioner(setup: Setup) -> None:
    """Librdkafka's default against Kafka's: both send the right key, and labels are elsewhere."""
    setup.inputs()
    setup.write(setup.predictions, predictions(range(COUNT)))
    setup.write_by_librdkafka(setup.labels, labels(range(COUNT)))
    report = doctor(setup.config())

    assert report.wrong() == {"partitioners-differ"}
    finding = report.of("partitioners-differ")
    assert "murmur2" in finding["what"]
    assert "CRC-32" in finding["what"]
    assert finding["mend"] == f"set partitioner=murmur2_random in the librdkafka producer of topic '{setup.labels}'"


def test_librdkafka_with_kafkas_partitioner_is_fine(setup: Setup) -> None:
    """The mend of the finding before is one."""
    setup.inputs()
    setup.write(setup.predictions, predictions(range(COUNT)))
    setup.write_by_librdkafka(setup.labels, labels(range(COUNT)), partitioner="murmur2_random")

    assert doctor(setup.config()).wrong() == set()


def test_the_wrong_partitioner_is_named_where_no_pair_is_in_the_sample(setup: Setup) -> None:
    """Labels come days later: where keys are is enough to tell."""
    setup.inputs()
    setup.write(setup.predictions, predictions(range(10_000, 10_000 + COUNT)))
    setup.write_by_librdkafka(setup.labels, labels(range(COUNT)))

    assert doctor(setup.config()).wrong() == {"partitioners-differ"}


def test_keys_that_are_not_the_request_id(setup: Setup) -> None:
    """Keyed by a customer on one side alone."""
    setup.inputs()
    setup.write(
        setup.predictions,
        [(b"c%d" % (number % 37), value) for number, (_, value) in enumerate(predictions(range(COUNT)))],
    )
    setup.write(setup.labels, labels(range(COUNT)))
    report = doctor(setup.config())

    assert report.wrong() == {"keys-not-request-id", "pairs-apart"}
    assert setup.predictions in report.of("keys-not-request-id")["what"]


def test_other_keys_that_are_the_same_on_both_sides_are_fine(setup: Setup) -> None:
    """What counts is that a request's records meet."""
    setup.inputs()
    for topic, records in ((setup.predictions, predictions(range(COUNT))), (setup.labels, labels(range(COUNT)))):
        setup.write(topic, [(b"c%d" % (number % 37), value) for number, (_, value) in enumerate(records)])

    assert doctor(setup.config()).wrong() == set()


def test_records_without_keys(setup: Setup) -> None:
    """What Seldon's logger writes."""
    setup.inputs()
    setup.write(setup.predictions, predictions(range(COUNT)))
    setup.write(setup.labels, [(None, value) for _, value in labels(range(COUNT))])
    report = doctor(setup.config())

    assert report.wrong() == {"keys-missing"}
    assert f"400 of the newest 400 records of topic '{setup.labels}'" in report.of("keys-missing")["what"]


def test_short_retention(setup: Setup) -> None:
    """A restart must read back twice the window."""
    setup.create(setup.predictions, retention_ms="3600000")
    setup.create(setup.labels)
    report = doctor(setup.config())

    assert report.wrong() == {"retention-short"}
    assert "retention.ms=14430000" in report.of("retention-short")["mend"]


def test_a_size_limit_that_is_too_small_for_the_rate(setup: Setup) -> None:
    """Retention by size does not show in hours: it is estimated from what came."""
    setup.create(setup.predictions, retention_bytes="1000")
    setup.create(setup.labels)
    setup.write(setup.predictions, predictions(range(COUNT)))
    setup.write(setup.labels, labels(range(COUNT)))
    report = doctor(setup.config())

    assert report.wrong() == {"retention-bytes-short"}
    assert setup.predictions in report.of("retention-bytes-short")["what"]


def test_a_compacted_input(setup: Setup) -> None:
    """Compaction removes what is still needed."""
    setup.create(setup.predictions)
    setup.create(setup.labels, cleanup_policy="compact")
    report = doctor(setup.config())

    assert report.wrong() == {"input-compacted"}
    assert f"--entity-name {setup.labels} --add-config cleanup.policy=delete" in report.of("input-compacted")["mend"]


def test_a_state_topic_that_is_not_compacted(setup: Setup) -> None:
    """Snapshots would be removed that are still needed."""
    setup.inputs()
    setup.create(f"streamguard-{setup.name}-state", 1, max_message_bytes="9000000")

    assert doctor(setup.config()).wrong() == {"state-not-compacted"}


def test_a_tiny_message_limit(setup: Setup) -> None:
    """The first outcomes would end the worker."""
    setup.inputs()
    setup.create(f"streamguard-{setup.name}-outcomes", 1, max_message_bytes="5000")
    report = doctor(setup.config())

    assert report.wrong() == {"message-limit"}
    assert "max.message.bytes=1000000" in report.of("message-limit")["mend"]


def test_more_replicas_in_sync_are_asked_for_than_there_are(setup: Setup) -> None:
    """No write is confirmed, ever."""
    setup.inputs()
    setup.create(setup.config()["alerts"]["topic"], 1, min_insync_replicas="2")
    report = doctor(setup.config())

    assert report.wrong() == {"min-insync"}
    assert "min.insync.replicas=1" in report.of("min-insync")["mend"]


def test_more_copies_than_brokers(setup: Setup) -> None:
    """Our topics could not be made."""
    setup.inputs()
    report = doctor(setup.config(log={"replication_factor": 3}))

    assert report.wrong() == {"topic-not-created"}
    assert "log.replication_factor" in next(iter(report.findings))["mend"]


def test_a_clock_that_is_minutes_behind(setup: Setup) -> None:
    """This machine's clock is told to be another; the broker is the real one."""
    setup.inputs()
    report = doctor(setup.config(), now_ms=lambda: (time.time() - 150) * 1000)

    assert report.wrong() == {"clock-skew"}
    assert "clock is 2m" in report.of("clock-skew")["what"]
    assert "ahead of this machine's" in report.of("clock-skew")["what"]


def test_unreadable_records(setup: Setup) -> None:
    """The field has another name; the first reason is told with its place."""
    setup.filled()
    report = doctor(setup.config(labels={"topic": setup.labels, "fields": {"value": "truth"}}))

    assert report.wrong() == {"records-rejected"}
    what = report.of("records-rejected")["what"]
    assert "400 of the newest 400" in what
    assert "field 'truth' is missing or null" in what


def test_a_model_that_no_monitor_takes(setup: Setup) -> None:
    """Its predictions would be joined and not looked at."""
    setup.inputs()
    setup.write(setup.predictions, [*predictions(range(300)), *predictions(range(300, COUNT), model="churn")])
    setup.write(setup.labels, labels(range(COUNT)))
    report = doctor(setup.config())

    assert report.wrong() == {"records-unmonitored"}
    assert "100 of the newest 400" in report.of("records-unmonitored")["what"]


def test_late_records_and_records_from_the_future(setup: Setup) -> None:
    """By Kafka's timestamps, which producers set."""
    setup.inputs()
    setup.write(setup.predictions, predictions(range(100)))
    setup.write(setup.predictions, predictions(range(100, 300)), timestamp_ms=seconds_ago_ms(600))
    setup.write(setup.labels, labels(range(COUNT)), timestamp_ms=seconds_ago_ms(-1800))
    report = doctor(setup.config())

    assert report.wrong() == {"records-late", "records-ahead"}
    assert setup.predictions in report.of("records-late")["what"]
    assert setup.labels in report.of("records-ahead")["what"]


def test_predictions_that_the_broker_times(setup: Setup) -> None:
    """What a producer sends late would match wrong."""
    setup.create(setup.predictions, message_timestamp_type="LogAppendTime")
    setup.create(setup.labels, message_timestamp_type="LogAppendTime")

    assert doctor(setup.config()).wrong() == {"timestamps-appended"}


def test_a_session_timeout_that_the_broker_refuses(setup: Setup) -> None:
    """Its limits are asked for. The test's broker takes 1 s to 30 min."""
    setup.inputs()
    report = doctor(setup.config(log={"session_timeout": "45m", "transaction_timeout": "20m"}))

    assert report.wrong() == {"session-timeout", "transaction-timeout"}


def test_a_group_of_another_window_and_one_that_is_another_programs(setup: Setup) -> None:
    """A worker would stop at its start."""
    config = setup.filled().config()
    run_worker(parse(config), until_end=True, echo=lambda _: None)
    other = doctor(setup.config(join={"after": "3h"}))
    with (
        closing(open_log(parse(config).log)) as log,
        closing(join(log, setup.name + "-theirs", setup.predictions)),
    ):
        active = doctor(setup.config(log={"group": setup.name + "-theirs"}))

    assert other.wrong() == {"group-window"}
    assert "2h" in other.of("group-window")["what"]
    assert "group-active" in active.codes
    assert active.wrong() == set()


def test_an_old_profile_and_one_that_is_none(setup: Setup, tmp_path: Path) -> None:
    """Alerts would tell of its age; or the worker does not start."""
    import streamguard.profile  # noqa: PLC0415

    file, broken = tmp_path / "profile.json", tmp_path / "broken.json"
    rows = [{"age": 20 + number % 50} for number in range(3000)]
    file.write_bytes(streamguard.profile.build(rows).dump())
    broken.write_text("{}")
    long_ago_s = time.time() - 400 * 86_400
    os.utime(file, (long_ago_s, long_ago_s))
    monitor = setup.config()["monitors"][0]
    monitors = [monitor | {"name": name, "data": {"profile": str(each)}} for name, each in (("a", file), ("b", broken))]
    setup.inputs()
    report = doctor(setup.config(monitors=monitors))

    assert report.wrong() == {"profile-old", "profile-unusable"}
    assert "'a'" in report.of("profile-old")["what"]
    assert "'b'" in report.of("profile-unusable")["what"]


def test_handlers_that_cannot_be_reached(setup: Setup, tmp_path: Path) -> None:
    """Their alerts would be dead letters; the URL's secret is not shown."""
    setup.inputs()
    handlers = [
        {"name": "hook", "type": "webhook", "url": f"http://127.0.0.1:{free_port()}/SECRETPATH"},
        {"name": "chat", "type": "slack", "url": "https://chat.invalid/SECRETPATH"},
        {"name": "mail", "type": "email", "host": "127.0.0.1", "port": free_port(), "sender": "a@b.c", "to": ["d@e.f"]},
        {"name": "file", "type": "file", "path": str(tmp_path / "nowhere" / "alerts.jsonl")},
        {"name": "run", "type": "command", "command": ["no-such-program"]},
    ]
    report = doctor(setup.config(handlers=handlers))
    told = {each["what"].split("'")[1]: each["code"] for each in report.findings if each["code"].startswith("handler")}

    assert told == {
        "hook": "handler-unreachable",
        "chat": "handler-unreachable",
        "mail": "handler-unreachable",
        "file": "handler-unusable",
        "run": "handler-unusable",
    }
    assert "SECRET" not in str(report.findings)


def test_low_descriptors_and_variables_in_a_process_of_its_own(setup: Setup, tmp_path: Path) -> None:
    """As a user runs it, with the limit of the process really lowered."""
    setup.filled()
    file = tmp_path / "my.yaml"
    preflight = {
        "packages": {"orjson": "<1", "no-such-package": ">=2"},
        "variables": {"CUDA_VISIBLE_DEVICES": {}, "REGION": {"matches": "eu-.*"}, "UNSET": {}},
    }
    file.write_text(yaml.safe_dump(setup.config(preflight=preflight)))
    script = ["sh", "-c", 'ulimit -n 60; exec "$@"', "sh", *COMMAND, str(file)]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "0,gpu one", "REGION": "SECRETREGION"}
    done = subprocess.run(script, capture_output=True, text=True, check=False, env=environment, timeout=60)

    assert (done.returncode, done.stderr) == (1, "")
    for words in (
        "error: descriptors-low: this process may open 60 files",
        "error: cuda-malformed: CUDA_VISIBLE_DEVICES names 'gpu one'",
        "error: package-version: orjson is installed in version",
        "error: package-missing: no-such-package>=2 is not installed",
        "error: variable-unset: the variable UNSET is not set",
        "error: variable-mismatch: the value of the variable REGION does not match 'eu-.*'",
        "mend: pip install 'no-such-package>=2'",
    ):
        assert words in done.stdout
    assert "SECRET" not in done.stdout
    assert "6 errors, " in done.stdout.splitlines()[-1]
