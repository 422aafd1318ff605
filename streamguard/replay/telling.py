"""What was found about an alert, as lines of text."""

from collections.abc import Iterator

from streamguard.core.alerts import Status, rfc3339
from streamguard.core.printing import printable
from streamguard.replay.explain import Explanation, Seen
from streamguard.replay.leads import Lead

_RECORD_CHARS = 400


def told(found: Explanation) -> Iterator[str]:
    """The explanation line by line, for a terminal."""
    return map(printable, _lines(found))


def _lines(found: Explanation) -> Iterator[str]:
    alert = found.alert
    segment = ", ".join(f"{name}={value}" for name, value in alert["segment"].items())
    yield f"{alert['status']} {alert['kind']} of monitor {alert['monitor']}{f' ({segment})' if segment else ''}"
    yield f"at {alert['event_time']}, onset about {alert['onset'] or 'unknown'}, by {alert['check']['type']}"
    moved = alert.get("features", {}).get("moved", ())
    yield from (f"look first: {each}" for each in alert["look_first"])
    if alert["status"] == Status.RESOLVED:
        yield from (f"now: {each['told']}" for each in moved)
    if estimate := alert.get("estimate"):
        yield f"scores let expect {estimate['rate']:.2%} errors meanwhile, of {estimate['count']:,} predictions"
    if alert["guarantee"]:
        yield f"guarantee: {alert['guarantee']}"
    yield from (f"note: {each}" for each in found.notes)
    yield from _carried(found)
    yield from _steps(found)
    wrong = "without a label" if found.is_of_labels else "wrong"
    if found.leads:
        yield ""
        yield f"what those that {'got no label' if found.is_of_labels else 'went wrong'} have in common:"
        yield from map(_lead, found.leads)
    for title, seen in (("around the onset:", found.around), (f"{wrong} since the onset:", found.wrong)):
        if seen:
            yield ""
            yield title
            for each in seen:
                yield from _seen(each)


def _carried(found: Explanation) -> Iterator[str]:
    for title, is_example in (("examples:", True), ("the first predictions since the onset:", False)):
        shown = [each for each in found.carried if (each.told is not None) is is_example]
        if shown:
            yield ""
            yield title
        for each in shown:
            yield f"  {each.where}{'' if each.told is None else f': {each.told}'}"
            yield f"    {each.record[:_RECORD_CHARS]}"


def _lead(lead: Lead) -> str:
    before = "new" if lead.before is None else f"{lead.before:.2%}"
    return (
        f"  {lead.field}={lead.value}: {before} -> {lead.after:.2%}, {lead.share:.0%} of the rise with"
        f" {lead.traffic:.0%} of the traffic ({lead.traffic_before:.0%} before)"
    )


def _seen(each: Seen) -> Iterator[str]:
    label = f"label {each.label!r}" if each.has_label else "no label"
    yield f"  {rfc3339(each.time_ms)} {each.request_id}: {each.prediction!r}, {label} ({each.where})"
    yield f"    {each.record[:_RECORD_CHARS]}"


def _steps(found: Explanation) -> Iterator[str]:
    if not found.steps:
        return
    most = max(each.rate for each in found.steps) or 1.0
    yield ""
    yield f"what the check saw{', the share without a label' if found.is_of_labels else ''}:"
    is_after = False
    for each in found.steps:
        if not is_after and each.from_ms >= found.onset_ms:
            is_after = True
            yield f"  -- onset, {rfc3339(found.onset_ms)}"
        band = "" if each.interval is None else f" ({each.interval[0]:.2%} to {each.interval[1]:.2%})"
        rate = f"{each.rate:.2%}" if each.interval is not None else f"{each.rate:.6g}"
        bar = "#" * round(30 * each.rate / most)
        yield f"  {rfc3339(each.from_ms)} {each.count:>7,} outcomes, {rate:>8}{band:<22} {bar}"
