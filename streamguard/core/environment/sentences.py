"""What is said of an endpoint: what has changed, and what to look at."""

from typing import Any

from streamguard.core.environment import certificates, forms
from streamguard.core.environment.change import Change
from streamguard.core.environment.latency import Rise
from streamguard.core.environment.probed import Probed

_TOLD_MAX = 5
_DETAILS_MAX = 50

_LOOK = {
    "dns": "look at the name of the host and at the resolver",
    "refused": "look whether the server runs, and on which port",
    "timeout": "look at the load of the server, and at what is between",
    "tls": "look at the server's certificate, and at ca_file",
    "network": "look at the network between",
    "reset": "look at the server's log, and at what is between",
    "protocol": "look at the server's log, and whether the port is right",
    "status": "look at the server's log",
    "redirect": "look whether the endpoint has moved",
    "size": "look at what the endpoint answers, or raise max_bytes",
    "authentication": "look whether the credentials have expired or were withdrawn",
    "contract": "look at what was deployed there, or at expect.fields",
}
_FAILS = {
    "answer": "does not answer as expected",
    "authentication": "does not take the credentials of the probe",
    "contract": "answers without what is expected",
}
_WORKS = {
    "answer": "answers as expected again",
    "authentication": "takes the credentials of the probe again",
    "contract": "answers with what is expected again",
}


def subject(name: str, what: str) -> str:
    """The key of an episode of an endpoint."""
    return f"endpoint/{name}/{what}"


def of_failure(name: str, what: str, since_ms: int, count: int, probed: Probed) -> Change:
    """So many failures one after the other; `probed` is the last."""
    look = _LOOK.get(probed.kind, "look at the server's log")
    told = f"endpoint {name} {_FAILS[what]}, {_times(count)}: {probed.message}; {look}"
    details = {"error": probed.kind, "message": probed.message, "status": probed.status}
    return Change(subject(name, what), is_wrong=True, told=told, since_ms=since_ms, details=details)


def of_recovery(name: str, what: str, since_ms: int) -> Change:
    """It is over."""
    told = f"endpoint {name} {_WORKS[what]}"
    return Change(subject(name, what), is_wrong=False, told=told, since_ms=since_ms, details={})


def of_status(name: str, since_ms: int, before: int, after: int) -> Change:
    """A note."""
    told = f"endpoint {name} answers {after} where it answered {before}, and both are expected: look what has changed"
    details = {"before": before, "after": after}
    return Change(subject(name, "status"), is_wrong=False, told=told, since_ms=since_ms, details=details)


def of_latency(name: str, rise: Rise) -> Change:
    """Slower, as quick as before, or slower for good."""
    usual, now = _spoken_ms(rise.usual_ms), _spoken_ms(rise.now_ms)
    if rise.is_wrong:
        look = "look at the load of the server, its latest deployment, and what it calls itself"
        told = f"endpoint {name} answers lastingly slower: {now} where {usual} was usual (medians); {look}"
    elif rise.is_accepted:
        told = f"endpoint {name} goes on to take {now} where {usual} was usual: this is taken for usual from now on"
    else:
        told = f"endpoint {name} answers about as quickly as before: {now}, usual are {usual} (medians)"
    details = {"usual_ms": round(rise.usual_ms, 3), "now_ms": round(rise.now_ms, 3), "accepted": rise.is_accepted}
    return Change(subject(name, "latency"), rise.is_wrong, told, rise.since_ms, details)


def of_form(name: str, turn: forms.Turn) -> Change:
    """Fields that went, came, or are of another type."""
    difference = turn.difference
    gone = [f"{path} is gone" for path in sorted(difference.gone)]
    retyped = [
        f"{path} is {types}, which was {turn.usual.get(path, 'another type')}"
        for path, types in sorted(difference.retyped.items())
    ]
    came = [f"{path} is new ({types})" for path, types in sorted(difference.came.items())]
    if turn.is_wrong:
        look = "look at what was deployed there, and at who reads these fields"
        told = f"the answers of endpoint {name} have changed their form: {_listed([*gone, *retyped, *came])}; {look}"
    elif turn.is_accepted:
        told = f"endpoint {name} keeps the new form of its answers: it is taken for usual from now on"
    elif came:
        told = f"the answers of endpoint {name} have more fields, which harms nobody: {_listed(came)}"
    else:
        told = f"the answers of endpoint {name} have their former form again"
    details: dict[str, Any] = {
        "gone": sorted(difference.gone)[:_DETAILS_MAX],
        "came": dict(sorted(difference.came.items())[:_DETAILS_MAX]),
        "retyped": {
            path: {"before": turn.usual.get(path), "after": types}
            for path, types in sorted(difference.retyped.items())[:_DETAILS_MAX]
        },
        "breaking": turn.is_wrong,
        "accepted": turn.is_accepted,
    }
    return Change(subject(name, "schema"), turn.is_wrong, told, turn.since_ms, details)


def of_certificate(name: str, turn: certificates.Turn) -> Change:
    """It is about to expire, was renewed, or is of another issuer."""
    seen = turn.seen
    details: dict[str, Any] = {"expires_ms": seen.expires_ms, "issuer": seen.issuer, "days_left": turn.days_left}
    what = "certificate"
    if turn.issuer_before is not None:
        what = "issuer"
        told = (
            f"the certificate of endpoint {name} is issued by {seen.issuer}, and was by {turn.issuer_before}:"
            " look whether that was meant"
        )
        details["issuer_before"] = turn.issuer_before
    elif turn.is_wrong:
        told = f"the certificate of endpoint {name} expires in {max(turn.days_left, 0):g} days: look at its renewal"
    else:
        told = f"the certificate of endpoint {name} was renewed, for {turn.days_left:g} days"
    return Change(subject(name, what), turn.is_wrong, told, turn.since_ms, details)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times one after the other"


def _listed(parts: list[str]) -> str:
    more = f", and {len(parts) - _TOLD_MAX} more" if len(parts) > _TOLD_MAX else ""
    return f"{', '.join(parts[:_TOLD_MAX])}{more}"


def _spoken_ms(latency_ms: float) -> str:
    return f"{latency_ms:.3g} ms" if latency_ms < 1000 else f"{latency_ms / 1000:.3g} s"
