"""What goes wrong with Kafka, as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from kafka import errors as kafka_errors

from streamguard.errors import FencedError, LogError, UnusableError

_MENDS: dict[type[Exception], str] = {
    kafka_errors.KafkaConnectionError: "check log.bootstrap_servers and the network",
    kafka_errors.KafkaTimeoutError: "check log.bootstrap_servers, log.security and the network",
    kafka_errors.SaslAuthenticationFailedError: "check log.security.sasl",
    kafka_errors.TopicAuthorizationFailedError: "not allowed; grant Read, Write and Describe on the topic",
    kafka_errors.GroupAuthorizationFailedError: "not allowed; grant Read on the group",
    kafka_errors.TransactionalIdAuthorizationFailedError: (
        "not allowed; grant Write and Describe on the transactional IDs that begin with streamguard-"
    ),
    kafka_errors.OffsetOutOfRangeError: (
        "records that were still to be read have been deleted by retention: raise retention.ms of the topic;"
        " to go on without them, stop the workers and reset the group's offsets with Kafka's own tool"
    ),
}


# Not to be tried again: someone must act first.
_FINAL = (
    kafka_errors.AuthorizationError,
    kafka_errors.OffsetOutOfRangeError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedVersionError,
)
# A transaction that timed out is told in the same words as one whose producer was replaced.
_FENCED = (kafka_errors.FencedInstanceIdError, kafka_errors.ProducerFencedError)


@contextmanager
def as_log_errors(what: str, kind: type[LogError] = LogError) -> Iterator[None]:
    """Raise `kind` for anything that kafka-python raises, with what was tried and how to mend it.

    `UnusableError` where trying again cannot help, `FencedError` where another has taken over.
    """
    try:
        yield
    except (kafka_errors.KafkaError, OSError, RuntimeError, AssertionError, ValueError) as error:
        mend = next((text for known, text in _MENDS.items() if isinstance(error, known)), None)
        detail = str(error) or type(error).__name__
        raised = UnusableError if isinstance(error, _FINAL) else FencedError if isinstance(error, _FENCED) else kind
        raise raised(f"{what}: {detail}" + ("" if mend is None else f"; {mend}")) from error
