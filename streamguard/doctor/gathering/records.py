"""The newest records of the inputs, read outside any group."""

from collections.abc import Callable, Mapping

from streamguard.doctor.facts import Sample
from streamguard.logs.interface import Log, Span

_RECORDS, _OF_PARTITION = 5_000, (20, 500)
_PARTS = 1, 8, 64


def sample(log: Log, topic: str, needed_ms: int, now_ms: Callable[[], float]) -> Sample:
    """Up to 500 of each partition and some 5,000 of all; `needed_ms` is how long records must be kept."""
    spans = log.spans(topic)
    least, most = _OF_PARTITION
    each = min(most, max(least, _RECORDS // max(1, len(spans))))
    newest = {
        number: Span(max(span.start, span.end - each), span.end, span.held)
        for number, span in spans.items()
        if span.start < span.end
    }
    batches = tuple(log.read(topic, spans=newest)) if newest else ()
    now = int(now_ms())
    looks = {needed_ms // part: log.spans(topic, max(0, now - needed_ms // part)) for part in _PARTS}
    return Sample(topic, batches, now, estimated(needed_ms, spans, looks))


def estimated(needed_ms: int, spans: Mapping[int, Span], looks: Mapping[int, Mapping[int, Span]]) -> dict[int, int]:
    """By partition, how many records come in `needed_ms`, by the longest time that the topic reaches back.

    `looks` are the records of the last so many milliseconds. Where even the shortest is longer than what is there, what
    is there.

    >>> whole, hour = Span(0, 1000, 0), Span(900, 1000, 0)
    >>> estimated(7_200_000, {0: whole}, {7_200_000: {0: whole}, 3_600_000: {0: hour}})
    {0: 200}
    """
    found = {}
    for number, span in spans.items():
        found[number] = span.end - span.start
        for long_ms, look in sorted(looks.items()):
            since = look.get(number)
            if since is not None and since.start > span.held:
                found[number] = (since.end - since.start) * needed_ms // max(1, long_ms)
    return found
