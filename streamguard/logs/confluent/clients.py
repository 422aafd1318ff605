"""confluent-kafka's two clients, as a session wants them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Thread
from time import monotonic, sleep
from urllib.parse import quote

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer

from streamguard.config import KafkaLog as Settings
from streamguard.logs.confluent import options
from streamguard.logs.confluent.errors import Told
from streamguard.logs.confluent.options import RESEND_MS

# How long the start of transactions may take.
_BLOCK_S = 30.0
# The client's own errors say more than ours: it has so much longer to come forward with them.
GRACE_S = 1.0
_CLOSE_S = 5.0


class Clients:
    """Makes the consumer and the producers of one worker of a group. `told` is what any of them says by itself."""

    def __init__(self, settings: Settings, group: str, topic_groups: Sequence[Sequence[str]], worker: str) -> None:
        self.group = group
        self.worker = worker
        self.topic_groups = topic_groups
        self.transaction_timeout_s = settings.transaction_timeout_ms / 1000
        self.told = Told()
        self._settings = settings

    def consumer(self) -> Consumer:
        """A member of the group, not subscribed yet."""
        settings = self._settings
        # A worker that comes back under its name within the session timeout gets its partitions back at
        # once, without a rebalance for the others.
        member = {} if settings.worker is None else {"group.instance.id": settings.worker}
        return Consumer(
            options.consumer(settings, self.told)
            | member
            | {
                "group.id": self.group,
                "session.timeout.ms": settings.session_timeout_ms,
                # Who stays learns of a rebalance by its heartbeat, and until all have, none goes on.
                "heartbeat.interval.ms": max(1, min(1000, settings.session_timeout_ms // 3)),
                # The only one of librdkafka's that gives partitions of one number to one member.
                "partition.assignment.strategy": "range",
            }
        )

    def producer(self) -> Producer:
        """A producer whose epoch is above that of any former one of this name."""
        producer = Producer(
            options.producer(self._settings, self.told)
            | {
                # No two groups' workers have one, however they are named.
                "transactional.id": f"streamguard-{quote(self.group, safe='')}/{quote(self.worker, safe='')}",
                "transaction.timeout.ms": self._settings.transaction_timeout_ms,
            }
        )
        within(_BLOCK_S + GRACE_S, lambda: repeatedly(producer.init_transactions, _BLOCK_S))
        return producer


class HangError(KafkaException):
    """A call that did not return in time. A thread is in it yet, so its client must be left alone."""


def within(seconds: float, call: Callable[[], object]) -> None:
    """What a call of the client's raises; raises `HangError` where it does not return in time.

    librdkafka 2.16 returns from some calls never: where a transaction fails while its offsets are sent, for one. And
    while the main thread is in one of them, no signal is handled.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 (for the one who waits)
            raised.append(error)

    thread = Thread(target=run, name="librdkafka call", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise HangError(KafkaError(KafkaError._TIMED_OUT, f"no answer within {seconds:.0f} s"))
    if raised:
        raise raised[0]


def end(close: Callable[[], object]) -> None:
    """Close a client, in time."""
    with suppress(KafkaException, RuntimeError):
        within(_CLOSE_S, close)


def repeatedly(call: Callable[[float], None], seconds: float) -> None:
    """A call of the producer's that goes on where it was when it is called again."""
    until_s = monotonic() + seconds
    while True:
        left_s = until_s - monotonic()
        try:
            call(left_s)
        except KafkaException as raised:
            error: KafkaError = raised.args[0]
            # A request was lost or refused. The next is so late that it counts as sent again.
            if not error.retriable() or left_s <= RESEND_MS / 1000:
                raise
            sleep(RESEND_MS / 1000)
        else:
            return
