"""The doctor at doors that are locked: TLS, names and passwords, rights, and addresses that lead nowhere."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
)

from streamguard.config import parse
from streamguard.errors import LogError
from streamguard.logs.opening import open_log
from streamguard.worker.topology import prepare
from tests.integration.broker import BrokerUnavailableError
from tests.integration.doctoring import Setup, doctor
from tests.integration.guarded import PASSWORD, Guarded, guarded
from tests.integration.transactions import wait_until

pytestmark = pytest.mark.broker

READ, WRITE, DESCRIBE, CREATE, DESCRIBE_CONFIGS = (
    ACLOperation[name] for name in ("READ", "WRITE", "DESCRIBE", "CREATE", "DESCRIBE_CONFIGS")
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """The broker with all the doors."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(guarded(tmp_path_factory.mktemp("guarded")))
        except BrokerUnavailableError as error:
            reason = str(error)
        else:
            yield found
            return
    if os.environ.get("REQUIRE_BROKER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def setup(house: Guarded) -> Setup:
    """Inputs of a test's own, made through the open door."""
    made = Setup(house.plain)
    made.inputs()
    return made


def through(setup: Setup, server: str, **security: Any) -> dict[str, Any]:
    """The configuration that goes through another door."""
    return setup.config(log={"bootstrap_servers": server, "security": security})


def named(house: Guarded, setup: Setup, user: str, password: str = PASSWORD) -> dict[str, Any]:
    """Through the door that wants TLS and a name."""
    sasl = {"mechanism": "PLAIN", "username": user, "password": password}
    return through(setup, house.doors["SAFE"], protocol="SASL_SSL", ca_file=str(house.authority), sasl=sasl)


_ANY = ACLFilter(
    None,
    None,
    ACLOperation.ANY,
    ACLPermissionType.ANY,
    ResourcePatternFilter(ResourceType.ANY, None, ACLResourcePatternType.ANY),
)
Grants = Sequence[tuple[ResourceType, str, ACLResourcePatternType, Sequence[ACLOperation]]]


def allow(house: Guarded, user: str, grants: Grants) -> None:
    """Give rights, as an administrator does."""
    acls = [
        ACL(f"User:{user}", "*", operation, ACLPermissionType.ALLOW, ResourcePattern(kind, name, pattern))
        for kind, name, pattern, operations in grants
        for operation in operations
    ]
    with closing(KafkaAdminClient(bootstrap_servers=house.plain)) as admin:
        assert not admin.create_acls(acls)["failed"]
        # The broker's authorizer hears of them a moment later.
        wanted = {str(each) for each in acls}
        wait_until(lambda: wanted <= {str(each) for each in admin.describe_acls(_ANY)[0]})


def needed(setup: Setup) -> dict[str, Any]:
    """What docs/operations.md says a worker needs, by what it is for."""
    literal, prefixed = ACLResourcePatternType.LITERAL, ACLResourcePatternType.PREFIXED
    topic = ResourceType.TOPIC
    return {
        "predictions": (topic, setup.predictions, literal, [READ, DESCRIBE]),
        "labels": (topic, setup.labels, literal, [READ, DESCRIBE]),
        "ours": (topic, f"streamguard-{setup.name}-", prefixed, [READ, WRITE, DESCRIBE, CREATE]),
        "alerts": (topic, f"{setup.name}-alerts", literal, [READ, WRITE, DESCRIBE, CREATE]),
        "group": (ResourceType.GROUP, setup.name, literal, [READ, DESCRIBE]),
        "transactions": (ResourceType.TRANSACTIONAL_ID, f"streamguard-{setup.name}/", prefixed, [WRITE, DESCRIBE]),
    }


def test_tls_as_it_should_be(house: Guarded, setup: Setup) -> None:
    """The certificate is for another hundred years."""
    report = doctor(through(setup, house.doors["TLS"], protocol="SSL", ca_file=str(house.authority)))

    assert (report.exit_code, report.wrong()) == (0, set())


def test_an_authority_that_has_not_signed_it(house: Guarded, setup: Setup) -> None:
    """The wrong file in ca_file."""
    report = doctor(through(setup, house.doors["TLS"], protocol="SSL", ca_file=str(house.other_authority)))

    assert (report.exit_code, report.codes) == (3, {"tls-untrusted"})
    assert "log.security.ca_file" in report.of("tls-untrusted")["mend"]
    assert str(house.other_authority) in report.of("tls-untrusted")["what"]


def test_a_certificate_that_has_expired(house: Guarded, setup: Setup) -> None:
    """Two days ago, and it says when."""
    report = doctor(through(setup, house.doors["EXPIRED"], protocol="SSL", ca_file=str(house.authority)))

    assert (report.exit_code, report.codes) == (3, {"tls-expired"})
    assert time.strftime("%Y-%m-%d", time.gmtime(time.time() - 2 * 86_400)) in report.of("tls-expired")["what"]


def test_a_certificate_that_expires_soon(house: Guarded, setup: Setup) -> None:
    """Five days are left."""
    report = doctor(through(setup, house.doors["SOON"], protocol="SSL", ca_file=str(house.authority)))

    assert report.exit_code == 1
    assert "ends in 5 days" in report.of("tls-expires-soon")["what"]


def test_a_certificate_for_another_name(house: Guarded, setup: Setup) -> None:
    """It says for which; without check_hostname it will do."""
    door, file = house.doors["WRONGNAME"], str(house.authority)
    strict = doctor(through(setup, door, protocol="SSL", ca_file=file))
    lenient = doctor(through(setup, door, protocol="SSL", ca_file=file, check_hostname=False))

    assert (strict.exit_code, strict.codes) == (3, {"tls-hostname"})
    assert "kafka.internal.example" in strict.of("tls-hostname")["what"]
    assert "tls-hostname" not in lenient.codes
    assert lenient.exit_code < 3


def test_plaintext_to_a_port_with_tls_and_the_reverse(house: Guarded, setup: Setup) -> None:
    """Kafka itself closes the connection without a word."""
    plain = doctor(through(setup, house.doors["TLS"], protocol="PLAINTEXT"))
    safe = doctor(through(setup, house.plain, protocol="SSL", ca_file=str(house.authority)))

    assert (plain.exit_code, plain.codes) == (3, {"tls-expected"})
    assert plain.of("tls-expected")["mend"] == "set log.security.protocol: SSL"
    assert (safe.exit_code, safe.codes) == (3, {"tls-not-spoken"})


def test_no_name_where_one_is_wanted_and_the_reverse(house: Guarded, setup: Setup) -> None:
    """The broker says which mechanisms it has."""
    sasl = {"mechanism": "SCRAM-SHA-512", "username": "worker", "password": PASSWORD}
    without = doctor(through(setup, house.doors["SASL"], protocol="PLAINTEXT"))
    other = doctor(through(setup, house.doors["SASL"], protocol="SASL_PLAINTEXT", sasl=sasl))
    unasked = doctor(through(setup, house.plain, protocol="SASL_PLAINTEXT", sasl=sasl))

    assert without.of("sasl-expected")["mend"].startswith("set log.security.protocol: SASL_PLAINTEXT")
    assert "offers PLAIN," in other.of("sasl-mechanism")["what"]
    assert "does not ask who we are" in unasked.of("sasl-mechanism")["what"]
    assert [each.exit_code for each in (without, other, unasked)] == [3, 3, 3]


def test_a_wrong_password(house: Guarded, setup: Setup) -> None:
    """kafka-python says only that it could not begin; and the password is not shown."""
    report = doctor(named(house, setup, "worker", "SECRETPASSWORD"))

    assert (report.exit_code, report.codes) == (3, {"sasl-refused"})
    assert "'worker'" in report.of("sasl-refused")["what"]
    assert "SECRET" not in str(report.findings)


def test_a_broker_that_sends_clients_where_nobody_is(house: Guarded, setup: Setup) -> None:
    """The first answer comes, and all that follows goes elsewhere."""
    report = doctor(through(setup, house.doors["LOST"]))

    assert (report.exit_code, report.codes) == (3, {"advertised-unreachable"})
    assert "advertised.listeners" in report.of("advertised-unreachable")["mend"]


def test_the_rights_that_the_documentation_names_are_enough(house: Guarded, setup: Setup) -> None:
    """A worker's user with just these sees no finding, but for the clock, which needs one more."""
    allow(house, "worker", list(needed(setup).values()))
    report = doctor(named(house, setup, "worker"))

    assert (report.exit_code, report.codes) == (
        0,
        {"topic-to-create", "clock-unknown", "sample-empty", "settings-hidden"},
    )


def test_a_state_topic_whose_settings_are_hidden(house: Guarded, setup: Setup) -> None:
    """A worker that cannot see whether it is compacted does not start: the doctor says so before."""
    state = f"streamguard-{setup.name}-state"
    setup.create(state, 1, cleanup_policy="compact", max_message_bytes="9000000")
    grants = needed(setup)
    allow(house, "worker", list(grants.values()))
    config = named(house, setup, "worker")
    hidden = doctor(config)
    with closing(open_log(parse(config).log)) as log, pytest.raises(LogError, match="must be compacted"):
        prepare(parse(config), log)
    allow(house, "worker", [(ResourceType.TOPIC, state, ACLResourcePatternType.LITERAL, [DESCRIBE_CONFIGS])])
    seen = doctor(config)
    with closing(open_log(parse(config).log)) as log:
        prepare(parse(config), log)

    assert hidden.wrong() == {"topic-right"}
    assert f"--operation DescribeConfigs --topic {state}" in hidden.of("topic-right")["mend"]
    assert seen.wrong() == set()


@pytest.mark.parametrize(
    ("without", "operation", "code", "mend"),
    [
        ("predictions", READ, "topic-right", "--operation Read --topic {0}-predictions"),
        ("labels", None, "topic-right", "--operation Read --operation Describe --topic {0}-labels"),
        ("alerts", WRITE, "topic-right", "--operation Write --topic {0}-alerts"),
        ("ours", CREATE, "topic-not-created", "--operation Create --topic streamguard-{0}-outcomes"),
        ("group", READ, "group-right", "--operation Read --operation Describe --group {0}"),
        (
            "transactions",
            WRITE,
            "transaction-right",
            "--transactional-id streamguard-{0}/ --resource-pattern-type prefixed",
        ),
        ("transactions", None, "transaction-right", "--operation Write --operation Describe --transactional-id"),
    ],
)
def test_a_right_that_is_missing(
    house: Guarded, setup: Setup, without: str, operation: ACLOperation | None, code: str, mend: str
) -> None:
    """Found by asking alone; `operation` None: all of them."""
    grants = needed(setup)
    kind, name, pattern, operations = grants.pop(without)
    if operation is not None:
        grants[without] = (kind, name, pattern, [each for each in operations if each != operation])
    if code == "topic-right" and without == "alerts":
        setup.create(name, 1)
    allow(house, "limited", list(grants.values()))
    report = doctor(named(house, setup, "limited"))

    assert report.exit_code == 1
    assert report.wrong() == {code}
    assert mend.format(setup.name) in next(each["mend"] for each in report.findings if each["code"] == code)
