"""What stands between us and confluent-kafka, as far as no broker is needed."""

import sys
from pathlib import Path
from threading import Event
from typing import Any

import orjson
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from streamguard.config import KafkaLog as Settings
from streamguard.config import Sasl, Security
from streamguard.core.records import TopicPartition
from streamguard.errors import CommitLostError, ConfigError, FencedError, LogError, UnusableError
from streamguard.logs.confluent import options
from streamguard.logs.confluent.clients import repeatedly, within
from streamguard.logs.confluent.errors import Told, as_log_errors
from streamguard.logs.confluent.oauth import TokenSource
from streamguard.logs.confluent.reading import to_batch
from streamguard.logs.opening import open_log


def settings(**fields: Any) -> Settings:
    """Of a broker that nobody asks."""
    return Settings(kind="kafka", client="confluent", bootstrap_servers=("127.0.0.1:1",), group="g", **fields)


def test_a_missing_package_is_told_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who sets the client must know what to install."""
    for name in [name for name in sys.modules if name.startswith("streamguard.logs.confluent")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with pytest.raises(ConfigError, match=r"pip install 'confluent-kafka>="):
        open_log(settings())


class TestOptions:
    """The settings of the `log` section, as librdkafka knows them: it refuses what it does not know."""

    def test_client_takes_them_all(self, tmp_path: Path) -> None:
        """A misspelt name would be an error at the first start in production."""
        password = tmp_path / "password"
        password.write_text("secret\n")
        security = Security(
            protocol="SASL_SSL",
            sasl=Sasl(mechanism="SCRAM-SHA-512", username="us", password_file=str(password)),
        )
        told = Told()
        made = options.connection(settings(security=security), told)
        assert (made["sasl.username"], made["sasl.password"]) == ("us", "secret")
        assert made["ssl.endpoint.identification.algorithm"] == "https"
        consumer = Consumer(options.consumer(settings(security=security), told))
        consumer.close()
        Producer(options.producer(settings(security=security), told))

    def test_a_certificate_file_may_hold_its_key(self, tmp_path: Path) -> None:
        """`log.security.key_file` is null then."""
        both = tmp_path / "both.pem"
        both.write_text("")
        made = options.connection(
            settings(security=Security(protocol="SSL", cert_file=str(both), check_hostname=False)), Told()
        )
        assert made["ssl.certificate.location"] == made["ssl.key.location"] == str(both)
        assert made["ssl.endpoint.identification.algorithm"] == "none"
        assert "ssl.ca.location" not in made

    def test_tokens_come_from_the_teams_own_class(self) -> None:
        """As kafka-python's clients get them."""
        sasl = Sasl(mechanism="OAUTHBEARER", token_provider=f"{__name__}:Provider")
        made = options.connection(settings(security=Security(protocol="SASL_SSL", sasl=sasl)), Told())
        source = made["oauth_cb"]
        assert isinstance(source, TokenSource)
        assert source(None) == (Provider.JSON_WEB_TOKEN, 1_700_000_000.0, "", {"team": "fraud"})

    def test_a_class_that_is_not_there(self) -> None:
        """A wrong configuration, not a broken log."""
        with pytest.raises(ConfigError, match="token_provider: cannot load 'nowhere:Provider'"):
            TokenSource("nowhere:Provider")


class Provider:
    """A token provider such as kafka-python asks."""

    JSON_WEB_TOKEN = "e30.eyJleHAiOjE3MDAwMDAwMDB9."  # noqa: S105 (of nobody)

    def token(self) -> str:
        """Which ends at 1,700,000,000 s."""
        return self.JSON_WEB_TOKEN

    def extensions(self) -> dict[str, str]:
        """SASL extensions."""
        return {"team": "fraud"}


class TestErrors:
    """Which of ours stands for which of theirs."""

    @pytest.mark.parametrize(
        ("code", "kind", "mend"),
        [
            (KafkaError._TRANSPORT, CommitLostError, "check log.bootstrap_servers"),
            (KafkaError.ILLEGAL_GENERATION, CommitLostError, ""),
            (KafkaError.UNKNOWN_MEMBER_ID, CommitLostError, ""),
            (KafkaError.INCONSISTENT_GROUP_PROTOCOL, CommitLostError, "all workers of a group must use one log.client"),
            (KafkaError._FENCED, FencedError, ""),
            (KafkaError.FENCED_INSTANCE_ID, FencedError, ""),
            (KafkaError.TOPIC_AUTHORIZATION_FAILED, UnusableError, "grant Read, Write and Describe on the topic"),
            (KafkaError._AUTO_OFFSET_RESET, UnusableError, "raise retention.ms"),
        ],
    )
    def test_by_code(self, code: int, kind: type[LogError], mend: str) -> None:
        """What was tried stands before it, and how to mend it behind."""
        expected = pytest.raises(LogError, match=f"^cannot commit: .*{mend}")
        with expected as caught, as_log_errors("cannot commit", Told(), CommitLostError):
            raise KafkaException(KafkaError(code))
        assert caught.type is kind

    def test_a_timeout_is_told_with_its_cause(self) -> None:
        """What the client said before is why: a wrong password is final, however often it is tried."""
        told = Told()
        told.hear(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
        told.hear(KafkaError(KafkaError._ALL_BROKERS_DOWN))
        expected = pytest.raises(UnusableError, match=r"cannot read: .*; wrong password; check log.security.sasl")
        with expected, as_log_errors("cannot read", told):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))

    def test_a_cause_that_is_over_is_forgotten(self) -> None:
        """A connection that broke and was mended has nothing to do with what comes later."""
        told = Told()
        told.hear(KafkaError(KafkaError._AUTHENTICATION, "wrong password"))
        with as_log_errors("cannot read", told):
            pass
        with pytest.raises(LogError) as caught, as_log_errors("cannot read", told):
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        assert caught.type is LogError


class TestCalls:
    """Calls of the client's that may take long."""

    def test_one_that_never_returns_is_left_alone(self) -> None:
        """The worker goes on, and ends where it is told to."""
        is_over = Event()
        with pytest.raises(KafkaException) as caught:
            within(0.01, is_over.wait)
        assert caught.value.args[0].code() == KafkaError._TIMED_OUT
        is_over.set()

    def test_what_it_raises_is_raised(self) -> None:
        """On the thread of whoever waits."""

        def refuse() -> None:
            raise KafkaException(KafkaError(KafkaError._FENCED))

        with pytest.raises(KafkaException) as caught:
            within(10, refuse)
        assert caught.value.args[0].code() == KafkaError._FENCED

    def test_one_that_can_go_on_is_called_again(self) -> None:
        """Until its time is over; what cannot be helped is raised at once."""
        calls: list[float] = []

        def once_more(left_s: float) -> None:
            calls.append(left_s)
            if len(calls) < 2:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "", False, True))

        repeatedly(once_more, 10)
        assert len(calls) == 2

        def final(left_s: float) -> None:
            calls.append(left_s)
            raise KafkaException(KafkaError(KafkaError._FENCED))

        with pytest.raises(KafkaException):
            repeatedly(final, 10)
        assert len(calls) == 3


def test_columns_are_sequences() -> None:
    """What is made where it is looked at is cut, counted and walked as any column."""
    messages = [
        Message(topic="t", partition=0, offset=offset, key=b"%d" % offset, value=orjson.dumps(offset), timestamp=(1, 7))
        for offset in range(3)
    ]
    batch = to_batch(TopicPartition("t", 0), messages, 3)
    assert list(batch.offsets) == [0, 1, 2]
    assert list(batch.timestamps) == [7, 7, 7]
    assert batch.keys[1] == b"1"
    assert list(batch.keys[1:]) == [b"1", b"2"]
    assert [tuple(each) for each in batch.headers] == [(), (), ()]
    assert len(batch.headers[:2]) == 2
    assert batch.values == [b"0", b"1", b"2"]
