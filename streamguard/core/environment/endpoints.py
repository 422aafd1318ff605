"""Endpoints: judges what probes of them have found, each endpoint by itself.

Theory of operation. A result says something about several things: whether the endpoint answers, whether it takes our
credentials, whether the answer keeps its contract, its form, its certificate, how long it took. Each is an episode of
its own, `endpoint/NAME/answer` and so on, and a result that says nothing about one of them leaves that as it was: a
server that is away has not begun to take credentials again.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from streamguard.config.probes import ProbeChecks
from streamguard.core.environment import sentences
from streamguard.core.environment.certificates import Certificates
from streamguard.core.environment.change import Change
from streamguard.core.environment.forms import Forms
from streamguard.core.environment.latency import Latency
from streamguard.core.environment.probed import Probed, read
from streamguard.core.environment.streak import Streak

_TARGETS_MAX = 1000
_STREAKS = ("answer", "authentication", "contract")


class Endpoints:
    """Judges the results of probes; of at most 1000 endpoints, beyond which the one longest without a result goes."""

    def __init__(self, settings: ProbeChecks, state: Mapping[str, Any] | None = None) -> None:
        self._settings = settings
        found = (state or {}).get("endpoints", {})
        self._endpoints = {name: _Endpoint(name, settings, each) for name, each in found.items()}

    def take(self, time_ms: int, record: Mapping[str, Any]) -> list[Change]:
        """Take a result that was found at that time; any other record changes nothing.

        A `Change` that is not wrong and whose subject has no episode is a note.
        """
        probed = read(record)
        if probed is None:
            return []
        # In the order of their latest results.
        endpoint = self._endpoints.pop(probed.target, None) or _Endpoint(probed.target, self._settings, {})
        self._endpoints[probed.target] = endpoint
        if len(self._endpoints) > _TARGETS_MAX:
            del self._endpoints[next(iter(self._endpoints))]
        return list(endpoint.take(time_ms, probed))

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"endpoints": {name: each.snapshot() for name, each in self._endpoints.items()}}


class _Endpoint:
    def __init__(self, name: str, settings: ProbeChecks, state: Mapping[str, Any]) -> None:
        self._name = name
        self._settings = settings
        self._streaks = {each: Streak.restored(state.get(each, ())) for each in _STREAKS}
        self._status: int | None = state.get("status")
        self._other = Streak.restored(state.get("other", ()))
        self._forms = Forms(settings, state.get("forms"))
        self._latency = Latency(settings.accept_after_ms, state.get("latency"))
        self._certificates = Certificates(settings.tls_days, settings.recover_after, state.get("certificates"))

    def snapshot(self) -> dict[str, Any]:
        return {
            **{name: streak.snapshot() for name, streak in self._streaks.items()},
            "status": self._status,
            "other": self._other.snapshot(),
            "forms": self._forms.snapshot(),
            "latency": self._latency.snapshot(),
            "certificates": self._certificates.snapshot(),
        }

    def take(self, time_ms: int, probed: Probed) -> Iterator[Change]:
        yield from self._failures(time_ms, probed)
        if probed.certificate is not None:
            for turn in self._certificates.take(time_ms, probed.certificate):
                yield sentences.of_certificate(self._name, turn)
        if probed.fields is not None and (changed := self._forms.take(time_ms, probed.fields)) is not None:
            yield sentences.of_form(self._name, changed)
        if probed.kind:
            return
        yield from self._another_status(time_ms, probed.status)
        if self._settings.latency and probed.latency_ms is not None:
            rise = self._latency.take(time_ms, probed.latency_ms)
            if rise is not None:
                yield sentences.of_latency(self._name, rise)

    def _failures(self, time_ms: int, probed: Probed) -> Iterator[Change]:
        for name, is_failure in _said(probed.kind).items():
            streak, settings = self._streaks[name], self._settings
            has_turned = streak.take(
                time_ms,
                is_failure=is_failure,
                fail_after=settings.fail_after,
                recover_after=settings.recover_after,
            )
            if has_turned:
                since_ms, count = streak.since_ms, settings.fail_after
                if streak.is_wrong:
                    yield sentences.of_failure(self._name, name, since_ms, count, probed)
                else:
                    yield sentences.of_recovery(self._name, name, since_ms)

    def _another_status(self, time_ms: int, status: int | None) -> Iterator[Change]:
        """Of good answers alone: where several statuses are expected, another one is a note."""
        if status is None or self._status is None:
            self._status = status if self._status is None else self._status
            return
        other = self._other
        after = self._settings.schema_after
        if other.take(time_ms, is_failure=status != self._status, fail_after=after, recover_after=1):
            yield sentences.of_status(self._name, other.since_ms, self._status, status)
            self._status, self._other = status, Streak()


def _said(kind: str) -> dict[str, bool]:
    """What a result says of the things that may fail: whether they have."""
    if kind == "authentication":
        return {"answer": False, "authentication": True}
    if kind == "contract":
        return {"answer": False, "authentication": False, "contract": True}
    if kind:
        return {"answer": True}
    return dict.fromkeys(_STREAKS, False)
