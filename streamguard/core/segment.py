"""One monitored stream: the outcomes of one monitor and one combination of the fields it splits by."""

import heapq
from collections import deque
from collections.abc import Mapping, Sequence
from statistics import median_low
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.config import Monitor
from streamguard.core.alerts import Alert, Episode, Status, rate_of, rfc3339, signal
from streamguard.core.bands import anytime_band
from streamguard.core.budgeted import Budgeted, Finding
from streamguard.core.checks import Check, Feed, Signal, checks
from streamguard.core.confusion import Confusion
from streamguard.core.detectors import Direction
from streamguard.core.history import History, Mean
from streamguard.core.losses import Loss, is_binary, is_bounded, losses
from streamguard.core.outcomes import NO_OFFSET, NO_SOURCE, Outcomes
from streamguard.core.silence import Change, Silence

_DELAYS = 255
_SETTLED = 1000
_STARVED = 200
_EXAMPLES = 5
# So many pairs whose types differ, and none that agrees, is a setting that is wrong, not a model.
_DISAGREEMENTS = 50
_SIGNS = {Direction.WORSE: 1, Direction.BETTER: -1, Direction.UNKNOWN: 0}


class Segment:
    """All checks of one monitored stream, and what its alerts tell beside them.

    `step` may be given the stream in any cuts: the alerts are the same.
    """

    def __init__(
        self,
        monitor: Monitor,
        values: Sequence[str | None],
        cooldown_ms: int,
        state: dict[str, Any] | None = None,
        *,
        budget: float = 1.0,
    ) -> None:
        """`budget`: false alarms a month that all budgeted detectors may give together; it is told with alerts."""
        self._monitor = monitor
        self._budget = budget
        self.values = tuple(values)
        # The whole of a monitor that is split has no values.
        self._named = dict(zip(monitor.split_by, values, strict=True)) if values else {}
        self._checks = checks(monitor, cooldown_ms, state)
        state = state or {}
        self._history = History(state.get("history"))
        self._delays: deque[int] = deque(state.get("delays", ()), _DELAYS)
        self._settled: deque[int] = deque(map(int, state.get("settled", "")), _SETTLED)
        self._confusion = Confusion(state.get("confusion"))
        self._has_agreed: bool = state.get("has_agreed", False)
        self._disagreed: int = state.get("disagreed", 0)
        self._disagreement = Episode(**state.get("disagreement", {}))
        after_ms = monitor.no_data_after_ms
        self._silence = None if after_ms is None else Silence.restored(after_ms, state.get("silence"))
        self._silent = Episode(**state.get("silent", {}))
        self.is_changed = state == {}

    def levels(self, onset_ms: int) -> tuple[dict[str, str | None], Mean, Mean]:
        """Its name, and its mean losses before that time and since."""
        return (self._named, *self._history.levels(onset_ms))

    def promises(self) -> list[str]:
        """What its budgeted detectors promise now: see `Budgeted.promise`."""
        return [each.instance.promise for each in self._checks if isinstance(each.instance, Budgeted)]

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON, from which a segment goes on exactly."""
        return {
            "checks": [each.snapshot() for each in self._checks],
            "history": self._history.snapshot(),
            "delays": list(self._delays),
            "settled": "".join(map(str, self._settled)),
            "confusion": self._confusion.snapshot(),
            "has_agreed": self._has_agreed,
            "disagreed": self._disagreed,
            "disagreement": self._disagreement.snapshot(),
            **(
                {}
                if self._silence is None
                else {"silence": self._silence.snapshot(), "silent": self._silent.snapshot()}
            ),
        }

    def step(self, rows: Outcomes, given: NDArray[np.float64] | None = None) -> list[tuple[int, Alert]]:
        """Take released outcomes; each alert comes with the place of the row that set it off.

        `given`: the budget of false alarms that has flowed by each row, for a monitor that has a budgeted detector.
        """
        self.is_changed = True
        labelled = np.flatnonzero(rows.label_offset >= 0)
        monitor = self._monitor
        values, comparable = losses(
            monitor.loss,
            rows.prediction[labelled].tolist(),
            rows.label[labelled].tolist(),
            rows.score[labelled].tolist(),
            monitor.positive,
        )
        alerts = []
        usable, findings = self._agree(comparable)
        for index, status in findings:
            place = int(labelled[index])
            alerts.append((place, self._disagreement_alert(rows, place, status)))
        places, fed = labelled[usable], values[usable]
        given = np.zeros(len(rows)) if given is None else given
        feeds = {False: Feed(places, rows.time[places], fed, given[places])}
        if any(check.of_labels for check in self._checks):
            feeds[True] = Feed(np.arange(len(rows)), rows.time, (rows.label_offset < 0).astype(np.float64), given)
        queue = self._signals(feeds)
        absorbed_rows = absorbed_fed = 0
        while queue:
            each = heapq.heappop(queue)
            end_fed = int(np.searchsorted(places, each.place, "right"))
            self._absorb(rows, absorbed_rows, each.place + 1, places, fed, absorbed_fed, end_fed)
            absorbed_rows, absorbed_fed = each.place + 1, end_fed
            alert = self._decide(each, rows, each.place)
            if alert is not None:
                alerts.append((each.place, alert))
            self._wake(queue, each.check, each.place, feeds)
        self._absorb(rows, absorbed_rows, len(rows), places, fed, absorbed_fed, len(fed))
        return sorted(alerts, key=lambda pair: pair[0])

    def silences(self, times_ms: NDArray[np.int64], until_ms: int) -> list[tuple[int, Alert]]:
        """Take the times of what `step` takes, of all before `until_ms`; each alert comes with its event time."""
        if self._silence is None:
            return []
        changes = self._silence.take(times_ms) + self._silence.wait(until_ms)
        self.is_changed |= bool(changes)
        return [(each.time_ms, self._silence_alert(self._silence, each)) for each in changes]

    def _silence_alert(self, silence: Silence, change: Change) -> Alert:
        status = Status.RAISED if change.is_silent else Status.RESOLVED
        trigger = change.time_ms, NO_SOURCE, NO_OFFSET, NO_OFFSET
        alert = self._blank(change.time_ms, trigger, status, {"type": "no_data", "after_ms": silence.after_ms})
        alert.kind = "no_data"
        episode = self._silent
        if change.is_silent:
            episode.id, episode.raised_ms = alert.id, change.time_ms
            before = f"no outcome since {rfc3339(change.since_ms)}, one every {change.distance_ms / 1000:.3g} s before"
            alert.look_first = [f"{before}: look at what writes predictions and labels"]
        else:
            alert.duration_ms, alert.resolution = change.time_ms - episode.raised_ms, "recovered"
        alert.episode = episode.id or ""
        return alert

    def _signals(self, feeds: Mapping[bool, Feed]) -> list[Signal]:
        queue = [
            each for number, check in enumerate(self._checks) for each in check.signals(number, feeds[check.of_labels])
        ]
        heapq.heapify(queue)
        for number in range(len(self._checks)):
            self._wake(queue, number, -1, feeds)
        return queue

    def _wake(self, queue: list[Signal], number: int, after: int, feeds: Mapping[bool, Feed]) -> None:
        """Look again at muted trouble when its cooldown is over."""
        check = self._checks[number]
        feed = feeds[check.of_labels]
        if check.episode.muted and check.episode.closed_ms is not None:
            index = int(np.searchsorted(feed.times_ms, check.episode.closed_ms + check.cooldown_ms))
            if index < len(feed.places) and feed.places[index] > after:
                heapq.heappush(queue, Signal(int(feed.places[index]), number, True, Direction.WORSE, is_wake=True))

    def _decide(self, each: Signal, rows: Outcomes, place: int) -> Alert | None:
        check = self._checks[each.check]
        episode = check.episode
        if each.is_wake and not episode.muted:
            return None
        time_ms = int(rows.time[place])
        since_ms = episode.since_ms
        guarantee = check.guarantee(each, self._budget)
        status = signal(
            episode,
            is_alarm=each.is_alarm,
            direction=each.direction,
            time_ms=time_ms,
            cooldown_ms=check.cooldown_ms,
        )
        if status is None:
            return None
        is_notice = status is Status.RAISED and each.direction is Direction.BETTER
        alert = self._alert(rows, place, status, check.about)
        alert.kind = "mismatch_drift" if self._monitor.loss is Loss.MISMATCH else "loss_drift"
        alert.severity = "info" if is_notice else self._monitor.severity
        alert.direction = each.direction
        alert.guarantee = guarantee
        if check.of_labels:
            self._starvation(alert, check, each.finding)
        elif each.finding is None:
            self._evidence(alert, each.mean, since_ms)
        else:
            self._compared(alert, check, each.finding, since_ms)
        if status is Status.RAISED:
            alert.episode = alert.id
            episode.id = None if is_notice else alert.id
        else:
            alert.episode = episode.id or ""
            alert.absorbed, episode.absorbed = episode.absorbed, 0
        if status is Status.RESOLVED:
            alert.duration_ms = time_ms - episode.raised_ms
            is_accepted = each.finding is not None and each.finding.is_accepted
            alert.resolution = "accepted" if is_accepted else "recovered"
            episode.id = None
        elif each.is_alarm and check.forgets:
            episode.since_ms = time_ms
        return alert

    def _alert(self, rows: Outcomes, place: int, status: Status, about: dict[str, Any]) -> Alert:
        columns = rows.time, rows.source, rows.prediction_offset, rows.label_offset
        time_ms, source, prediction_offset, label_offset = (int(column[place]) for column in columns)
        return self._blank(time_ms, (time_ms, source, prediction_offset, label_offset), status, about)

    def _blank(self, time_ms: int, trigger: tuple[int, int, int, int], status: Status, about: dict[str, Any]) -> Alert:
        match = self._monitor.match
        return Alert(
            status=status,
            kind="",
            severity=self._monitor.severity,
            monitor=self._monitor.name,
            segment=self._named,
            model=_text(match.get("model", self._named.get("model"))),
            version=_text(match.get("version", self._named.get("version"))),
            check=about,
            event_time_ms=time_ms,
            trigger=trigger,
            direction=Direction.UNKNOWN,
        )

    def _starvation(self, alert: Alert, check: Check, finding: Finding | None) -> None:
        """Fewer predictions get their labels than did."""
        alert.kind = "label_starvation"
        if finding is not None:
            alert.before = self._usual(check, finding)
        settled = list(self._settled)[-_STARVED:]
        alert.after = self._level(Mean(len(settled), float(len(settled) - sum(settled))))
        alert.labels = self._labels()
        if alert.status is not Status.RESOLVED:
            alert.look_first = ["predictions get no label that got one before: look at what writes the labels"]

    def _compared(self, alert: Alert, check: Check, finding: Finding, since_ms: int) -> None:
        """Evidence of a budgeted detector: what was usual, and what is since the onset, which an episode keeps."""
        episode = check.episode
        alert.before = self._usual(check, finding)
        alert.labels = self._labels()
        if alert.status is Status.RAISED or episode.onset_ms is None:
            change = self._history.change(since_ms, sign=_SIGNS[alert.direction])
            episode.onset_ms = alert.event_time_ms if change is None else change.onset_ms
        alert.onset_ms = episode.onset_ms
        alert.after = self._level(self._history.levels(episode.onset_ms)[1])
        if alert.status is Status.RESOLVED and not finding.is_accepted:
            back = self._history.change(episode.onset_ms, sign=_SIGNS[Direction.BETTER])
            if back is not None:
                alert.onset_ms, alert.after = back.onset_ms, self._level(back.after)
        self._mistakes(alert)

    def _usual(self, check: Check, finding: Finding) -> dict[str, Any] | None:
        """The baseline's level, and the limit that was to be exceeded."""
        learnt, scale = finding.learnt, check.settings.loss_max or 1.0
        # Dependent losses say as much as fewer independent ones.
        worth = max(1, min(learnt.count, round(learnt.count / learnt.design)))
        band = None if check.settings.loss_max else self._band(learnt.rate * worth, worth)
        level = rate_of(Mean(learnt.count, learnt.rate * scale * learnt.count), band)
        return level and {**level, "limit": round(finding.limit * scale, 6)}

    def _labels(self) -> dict[str, Any]:
        settled = len(self._settled)
        # In cohorts all outcomes come as late.
        is_told = self._delays and not self._monitor.cohorts
        return {
            "coverage": round(sum(self._settled) / settled, 6) if settled else None,
            "delay_median_s": median_low(self._delays) / 1000 if is_told else None,
        }

    def _evidence(self, alert: Alert, mean: Mean | None, since_ms: int) -> None:
        change = self._history.change(since_ms, sign=_SIGNS[alert.direction])
        if change is not None:
            alert.onset_ms = change.onset_ms
            alert.before = self._level(change.before)
            alert.after = self._level(change.after)
        if mean is not None:
            alert.after = self._level(mean)
        alert.labels = self._labels()
        self._mistakes(alert)

    def _mistakes(self, alert: Alert) -> None:
        if alert.status is Status.RESOLVED or alert.direction is Direction.BETTER:
            return
        alert.examples = self._confusion.examples(_EXAMPLES)
        if is_binary(self._monitor.loss):
            alert.classes = self._confusion.classes(alert.onset_ms)
            alert.look_first = [_told(each) for each in alert.classes]

    def _level(self, mean: Mean) -> dict[str, Any] | None:
        return rate_of(mean, self._band(mean.total, mean.count) if is_bounded(self._monitor.loss) else None)

    def _band(self, total: float, count: int) -> tuple[float, float]:
        return anytime_band(min(total, float(count)), count)

    def _absorb(
        self,
        rows: Outcomes,
        start: int,
        end: int,
        places: NDArray[np.intp],
        fed: NDArray[np.float64],
        fed_start: int,
        fed_end: int,
    ) -> None:
        """Remember rows `start` to `end`; those at `places[fed_start:fed_end]` have losses."""
        has_label = rows.label_offset[start:end] >= 0
        self._settled.extend(has_label[-_SETTLED:].astype(int).tolist())
        delays = (rows.time[start:end] - rows.prediction_time[start:end])[has_label]
        self._delays.extend(delays[-_DELAYS:].tolist())
        part, part_places = fed[fed_start:fed_end], places[fed_start:fed_end]
        self._history.add(rows.time[part_places].tolist(), part.tolist())
        mistakes = np.flatnonzero(part > 0)
        if not is_binary(self._monitor.loss):
            # Nearly all; they have no classes, and a few are examples enough.
            mistakes = mistakes[-_EXAMPLES:]
        wrong = part_places[mistakes]
        columns = (
            each.tolist()
            for each in (mistakes, rows.time[wrong], rows.id[wrong], rows.prediction[wrong], rows.label[wrong])
        )
        self._confusion.add(len(part), zip(*columns, strict=True))

    def _agree(self, comparable: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], list[tuple[int, Status]]]:
        """Which rows have a loss to feed, and where it shows that the types of the two sides never agree.

        Once a pair has agreed, one that does not is a mismatch like any other; before that it says nothing.
        """
        if self._has_agreed:
            return self._fed_anyway(comparable), []
        agreed = int(np.argmax(comparable)) if comparable.any() else len(comparable)
        last = _DISAGREEMENTS - self._disagreed - 1
        findings = [(last, Status.RAISED)] if 0 <= last < agreed else []
        self._disagreed = min(self._disagreed + agreed, _DISAGREEMENTS)
        if agreed == len(comparable):
            return comparable, findings
        self._has_agreed = True
        if self._disagreed == _DISAGREEMENTS:
            findings.append((agreed, Status.RESOLVED))
        usable = self._fed_anyway(comparable)
        usable[:agreed] = False
        return usable, findings

    def _fed_anyway(self, comparable: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.ones_like(comparable) if self._monitor.loss is Loss.MISMATCH else comparable

    def _disagreement_alert(self, rows: Outcomes, place: int, status: Status) -> Alert:
        alert = self._alert(rows, place, status, {"type": "types"})
        alert.kind = "type_disagreement"
        alert.severity = "warning"
        alert.examples = [rows.id[place]]
        prediction, label = rows.prediction[place], rows.label[place]
        if status is Status.RAISED:
            self._disagreement.id = alert.id
            self._disagreement.raised_ms = alert.event_time_ms
            mend = (
                "declare one type for both sides, for example"
                f" labels.fields.value: {{path: ..., type: {_type_name(prediction)}}}"
                if self._monitor.loss is Loss.MISMATCH
                else f"loss {self._monitor.loss} needs numbers (or a score and a label of two classes)"
            )
            alert.look_first = [
                f"predictions such as {prediction!r} never compare with labels such as {label!r}: {mend}"
            ]
        else:
            alert.duration_ms, alert.resolution = alert.event_time_ms - self._disagreement.raised_ms, "recovered"
        alert.episode = self._disagreement.id or ""
        if status is Status.RESOLVED:
            self._disagreement.id = None
        return alert


def _told(each: dict[str, Any]) -> str:
    before = "" if each["before"] is None else f"{each['before']:.1%} -> "
    return (
        f"{each['share']:.0%} of it: predicted {each['predicted']!r}, labelled {each['labelled']!r}"
        f" ({before}{each['after']:.1%} of the outcomes)"
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _type_name(value: object) -> str:
    return type(value).__name__
