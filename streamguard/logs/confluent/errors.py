"""What goes wrong with Kafka, as ours."""

from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka import KafkaError, KafkaException

from streamguard.errors import FencedError, LogError, UnusableError

_UNREACHABLE = "check log.bootstrap_servers, log.security and the network"
_DELETED = (
    "records that were still to be read have been deleted by retention: raise retention.ms of the topic;"
    " to go on without them, stop the workers and reset the group's offsets with Kafka's own tool"
)
_MENDS: dict[int, str] = {
    KafkaError._TRANSPORT: _UNREACHABLE,
    KafkaError._ALL_BROKERS_DOWN: _UNREACHABLE,
    KafkaError._RESOLVE: _UNREACHABLE,
    KafkaError._TIMED_OUT: _UNREACHABLE,
    KafkaError._SSL: "check log.security",
    KafkaError._AUTHENTICATION: "check log.security.sasl",
    KafkaError.SASL_AUTHENTICATION_FAILED: "check log.security.sasl",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "not allowed; grant Read, Write and Describe on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "not allowed; grant Read on the group",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        "not allowed; grant Write and Describe on the transactional IDs that begin with streamguard-"
    ),
    KafkaError.INCONSISTENT_GROUP_PROTOCOL: (
        "the group has members that share out partitions in another way: all workers of a group must use one"
        " log.client; one that was stopped counts as a member for log.session_timeout more"
    ),
    KafkaError.OFFSET_OUT_OF_RANGE: _DELETED,
    KafkaError._AUTO_OFFSET_RESET: _DELETED,
}

# Not to be tried again: someone must act first.
_FINAL = {
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError.OFFSET_OUT_OF_RANGE,
    KafkaError._AUTHENTICATION,
    KafkaError._AUTO_OFFSET_RESET,
    KafkaError._INVALID_ARG,
    KafkaError._UNSUPPORTED_FEATURE,
}
# A transaction that timed out is told in the same words as one whose producer was replaced.
_FENCED = {
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError.INVALID_PRODUCER_EPOCH,
    KafkaError.PRODUCER_FENCED,
    KafkaError._FENCED,
}
# These say that something did not happen in time, and not why: that was told before.
_VAGUE = {KafkaError._TIMED_OUT, KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._STATE}


class Told:
    """What a client says by itself, on whichever thread."""

    def __init__(self) -> None:
        self.last: KafkaError | None = None

    def hear(self, error: KafkaError) -> None:
        """An error that no call is to blame for, of a connection mostly; the client's log has it too."""
        # That all are down follows from what was told of each.
        if error.code() != KafkaError._ALL_BROKERS_DOWN:
            self.last = error


@contextmanager
def as_log_errors(what: str, told: Told, kind: type[LogError] = LogError) -> Iterator[None]:
    """Raise `kind` for anything that confluent-kafka raises, with what was tried and how to mend it.

    `UnusableError` where trying again cannot help, `FencedError` where another has taken over.
    """
    try:
        yield
        # What the client tells from now on is of something else.
        told.last = None
    except KafkaException as raised:
        error: KafkaError = raised.args[0]
        cause = told.last if told.last is not None and error.code() in _VAGUE else error
        detail = error.str() if cause is error else f"{error.str()}; {cause.str()}"
        raise _ours(what, detail, cause.code(), kind) from raised
    except (BufferError, RuntimeError) as raised:
        raise kind(f"{what}: {raised}") from raised


def _ours(what: str, detail: str, code: int, kind: type[LogError]) -> LogError:
    mend = _MENDS.get(code)
    made = UnusableError if code in _FINAL else FencedError if code in _FENCED else kind
    return made(f"{what}: {detail}" + ("" if mend is None else f"; {mend}"))
