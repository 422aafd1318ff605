"""The budgeted detector: a change of the mean loss, at no more false alarms than it is given.

Theory of operation. Nothing is wrong as long as each loss, or block of losses, has a mean of p0 at most, given
the past. A bet of a on a rise multiplies what was staked by 1 + a (x - p0), which is 1 at most on average. Before
each block the stake w that the budget gives for the time since the last is added, so that the evidence becomes
M = (M + w) (1 + a (x - p0)), averaged over eight a's, each best for a rise of another size. At M >= 1 it alarms,
and M begins at 0: so 1 is taken from M for each alarm, on average no more was ever put in than the stakes, and the
number of false alarms until any time is, on average, at most the budget that has flowed by then. That holds for
any number of streams together, however they depend on each other.

Source: Shin, Ramdas & Rinaldo, "E-detectors: a nonparametric framework for sequential change detection", 2022
(arXiv 2203.03532; the Shiryaev-Roberts e-detector), with stakes that follow the clock instead of the count.

p0 is declared, or it is the upper bound of the rate over a baseline (core/baseline.py). While that is learnt nothing is
spent, and the chance that the bound is wrong is what the budget gave meanwhile. Trouble is over when a detector of
the same kind, with the same stakes, finds the rate below the middle between p0 and the mean since the alarm.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamguard.core.baseline import UNIT, Baseline, Learnt, hours_of_week, quanta
from streamguard.core.bets import Bets, Trouble
from streamguard.core.detectors.interface import Direction, admitted
from streamguard.core.detectors.settings import BudgetedSettings

_VERSION = 1
# After a long silence a single loss would be an alarm.
_GIVEN_MAX = 0.01

# What sets off an alarm is partly chance: so many losses at the level are counted with those after it.
_PRIOR_LOSSES = 200

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
_What = tuple[bool, Direction, bool]
"""Whether it is an alarm, in which direction, and whether a level is accepted."""
_ACCEPTED: _What = False, Direction.BETTER, True


@dataclass(frozen=True, slots=True)
class Finding:
    """What was noticed with the loss at `index` of the arrays given.

    `is_alarm`: there is trouble, maybe once more; else it is over, or is accepted as the new level.
    """

    index: int
    is_alarm: bool
    direction: Direction
    learnt: Learnt
    """The baseline that it was compared with."""
    limit: float
    """What the mean loss could be, then, and nothing was wrong: a fraction of `loss_max`."""
    is_accepted: bool = False


@dataclass(frozen=True, slots=True)
class _Blocks:
    """Full blocks, as columns."""

    places: Ints
    """Of the last loss of each."""
    times_ms: Ints
    excesses: Ints
    """By how much its losses exceed what they may be, in `UNIT`s."""
    stakes: Floats


class Budgeted:
    """The detector over one stream of losses in [0, 1], in order of event time.

    How the stream is cut into calls changes nothing, nor does a snapshot and restore in between. The state is
    below 1 kB; with a season below 4 kB while it is learnt, and then 2 kB.

    >>> detector = Budgeted(BudgetedSettings(baseline=1000, season="none"))
    >>> losses = np.repeat([0.0, 1.0], 1000)
    >>> [each.index for each in detector.update(np.arange(2000), losses, np.arange(2000) / 1e6)][:1]
    [1005]
    """

    def __init__(self, settings: BudgetedSettings, state: Mapping[str, Any] | None = None) -> None:
        """Start anew, or from a snapshot; ValueError where that is damaged, or of another version."""
        self._settings = settings
        self._changes_ms = settings.rebaseline_ms
        self._directions = {"worse": [Direction.WORSE], "better": [Direction.BETTER]}.get(
            settings.direction, [Direction.WORSE, Direction.BETTER]
        )
        self._learn_anew()
        if state is not None:
            self._restore(state)

    @property
    def learnt(self) -> Learnt | None:
        """The baseline; None while it is learnt."""
        return self._learnt

    @property
    def promise(self) -> str:
        """`learning`, `kept`, or `none`, where what was learnt does not bear one."""
        if self._learnt is None:
            return "learning"
        return "kept" if self._learnt.doubt is None else "none"

    def update(self, times_ms: Ints, losses: Floats, given: Floats) -> list[Finding]:
        """Take losses, with their event times and the budget that has flowed by each, in false alarms.

        Raises ValueError, and takes none, where a loss is outside [0, 1].
        """
        if self._settings.loss_max is not None:
            losses = np.minimum(losses / self._settings.loss_max, 1.0)
        admitted(losses, self._settings.needs)
        taken, findings, start = quanta(losses), list[Finding](), 0
        while start < len(taken):
            end = start + self._before_change(times_ms[start:])
            if end == start:
                if self._trouble is not None and self._learnt is not None:
                    findings.append(self._finding(start, int(times_ms[start]), self._learnt, _ACCEPTED))
                self._learn_anew(is_accepted=True)
                continue
            rest = times_ms[start:end], taken[start:end], given[start:end]
            if self._learnt is None:
                start += self._learn(*rest)
            else:
                count, found = self._watch(self._learnt, *rest)
                findings += [replace(each, index=start + each.index) for each in found]
                start += count
        return findings

    # How it learns.

    def _before_change(self, times_ms: Ints) -> int:
        """How many come before what is usual is to be learnt anew."""
        since_ms = self._baseline.start_ms if self._learnt is None else self._learnt.start_ms
        # What begins to be learnt begins with the first of these.
        since_ms = int(times_ms[0]) if since_ms is None else since_ms
        for change_ms in self._changes_ms:
            if since_ms < change_ms:
                return int(np.searchsorted(times_ms, change_ms))
        return len(times_ms)

    def _learn_anew(self, *, is_accepted: bool = False) -> None:
        """`is_accepted`: from here on the level that is learnt is tolerated, whatever was declared."""
        self._is_accepted = is_accepted
        self._baseline = Baseline(seasonal=self._settings.is_seasonal)
        self._learnt: Learnt | None = None
        self._bets: dict[Direction, Bets] = {}
        self._trouble: Trouble | None = None

    def _learn(self, times_ms: Ints, losses: Ints, given: Floats) -> int:
        """Take losses as far as the baseline goes; returns how many."""
        baseline, settings = self._baseline, self._settings
        if baseline.start_ms is None:
            baseline.start_ms, baseline.given = int(times_ms[0]), float(given[0])
        by_time = int(np.searchsorted(times_ms, baseline.start_ms + settings.baseline_ms))
        count = max(settings.baseline_count - baseline.count, by_time + 1)
        baseline.add(times_ms[:count], losses[:count])
        if count <= len(losses):
            now = float(given[count - 1])
            self._begin(baseline.learnt(now, len(self._directions)), now)
        return min(count, len(losses))

    def _begin(self, learnt: Learnt, given: float) -> None:
        """Watch, from what was learnt on."""
        self._baseline = Baseline(seasonal=False)
        self._learnt, self._given = learnt, given
        self._filled = self._excess = 0
        self._bets = self._all_bets(learnt)

    def _all_bets(self, learnt: Learnt, evidence: Mapping[str, Sequence[float]] | None = None) -> dict[Direction, Bets]:
        """In each direction in which there is anything to bet on: nothing is worse than always wrong."""
        levels = {Direction.WORSE: self._highest(learnt), Direction.BETTER: 1 - self._lowest(learnt)}
        return {
            each: Bets(level, _variance(learnt, level), learnt.block, (evidence or {}).get(each.value, ()))
            for each, level in levels.items()
            if each in self._directions and level < 1
        }

    def _lowest(self, learnt: Learnt) -> float:
        return max(0.0, learnt.lower - self._settings.tolerance)

    def _highest(self, learnt: Learnt) -> float:
        settings = self._settings
        top = learnt.upper if learnt.season is None else max(learnt.season) / UNIT
        highest = min(1.0, top + settings.tolerance)
        if settings.tolerated_rate is not None:
            highest = max(highest, settings.tolerated_rate) if self._is_accepted else settings.tolerated_rate
        return highest

    # How it watches.

    def _watch(self, learnt: Learnt, times_ms: Ints, losses: Ints, given: Floats) -> tuple[int, list[Finding]]:
        """Take losses block by block, until a baseline is to be learnt anew; returns how many, and what was found."""
        block, found = learnt.block, list[Finding]()
        sums = _running(losses - self._levels(learnt, times_ms))
        ends = np.arange(block - self._filled, len(losses) + 1, block)
        bounds = np.concatenate(([0], ends))
        excesses = np.diff(sums[bounds])
        if len(ends):
            excesses[0] += self._excess
            self._filled = self._excess = 0
            now = given[ends - 1]
            # None is less than nothing: a budget that was away for a while begins at 0 again.
            stakes = np.clip(np.diff(now, prepend=self._given), 0.0, _GIVEN_MAX) / len(self._directions)
            end = self._judge(learnt, _Blocks(ends - 1, times_ms[ends - 1], excesses, stakes), found)
            self._given = float(now[-1])
            if end is not None:
                return end, found
        rest = int(bounds[-1])
        self._filled += len(losses) - rest
        self._excess += int(sums[-1] - sums[rest])
        return len(losses), found

    def _levels(self, learnt: Learnt, times_ms: Ints) -> Ints:
        """What each loss may be on average, in `UNIT`s."""
        if learnt.season is None:
            worse = self._bets.get(Direction.WORSE)
            return np.full(len(times_ms), 0 if worse is None else worse.level)
        bounds = np.array(learnt.season) + math.ceil(self._settings.tolerance * UNIT)
        levels: Ints = np.minimum(bounds, UNIT - 1)[hours_of_week(times_ms)]
        return levels

    def _judge(self, learnt: Learnt, blocks: _Blocks, found: list[Finding]) -> int | None:
        """What blocks say; returns how many losses were taken where what is usual is to be learnt anew."""
        whole = learnt.block * UNIT
        means, stakes = (blocks.excesses / whole).tolist(), blocks.stakes.tolist()
        number = 0
        while number < len(means) and self._bets:
            if self._trouble is None and [*self._bets] == [Direction.WORSE]:
                # The usual case, in one go.
                skipped = self._bets[Direction.WORSE].run(means[number:], stakes[number:])
                if skipped is None:
                    return None
                number += skipped
                what: _What | None = self._alarm(learnt, int(blocks.times_ms[number]))
            else:
                what = self._judge_one(learnt, blocks, number, means[number])
            if what is not None:
                place = int(blocks.places[number])
                found.append(self._finding(place, int(blocks.times_ms[number]), learnt, what))
                if self._learnt is None:
                    return place + 1
            number += 1
        return None

    def _judge_one(self, learnt: Learnt, blocks: _Blocks, number: int, mean: float) -> _What | None:
        """The same of one block."""
        time_ms, stake = int(blocks.times_ms[number]), float(blocks.stakes[number])
        trouble = self._trouble
        if trouble is not None and trouble.take(int(blocks.excesses[number]), learnt.block * UNIT, stake):
            self._trouble = None
            self._bets[Direction.WORSE].clear()
            return False, Direction.BETTER, False
        worse, better = self._bets.get(Direction.WORSE), self._bets.get(Direction.BETTER)
        if worse is not None and worse.take(mean, stake):
            return self._alarm(learnt, time_ms)
        if better is not None and trouble is None:
            # Its level is that of what is no loss.
            least = UNIT - better.level - (0 if worse is None else worse.level)
            if better.take(least / UNIT - mean, stake):
                self._learn_anew()
                return True, Direction.BETTER, False
        return None

    def _finding(self, place: int, time_ms: int, learnt: Learnt, what: _What) -> Finding:
        is_alarm, direction, is_accepted = what
        if is_alarm and direction is Direction.BETTER:
            limit = self._lowest(learnt)
        elif learnt.season is not None:
            hour = int(hours_of_week(np.array([time_ms]))[0])
            limit = learnt.season[hour] / UNIT + self._settings.tolerance
        else:
            limit = self._highest(learnt)
        return Finding(place, is_alarm, direction, learnt, round(limit, 6), is_accepted)

    def _alarm(self, learnt: Learnt, time_ms: int) -> _What:
        worse, accept_ms = self._bets[Direction.WORSE], self._settings.accept_after
        worse.clear()
        # Once more, and for so long: silence alone is no evidence that trouble lasts.
        if self._trouble is not None and accept_ms is not None and time_ms - self._trouble.since_ms >= accept_ms:
            self._learn_anew(is_accepted=True)
            return _ACCEPTED
        if self._trouble is None:
            self._trouble = Trouble(time_ms, self._recovery(learnt, worse.level), _prior(learnt))
        return True, Direction.WORSE, False

    def _recovery(self, learnt: Learnt, level: int, evidence: Sequence[float] = ()) -> Bets:
        """Bets on a fall; whatever the level that it is taken from, none is of more than there is."""
        return Bets(1 - level / UNIT, _variance(learnt, level / UNIT), learnt.block, evidence)

    # How it is kept.

    def snapshot(self) -> dict[str, Any]:
        """Plain JSON."""
        state: dict[str, Any] = {"type": "budgeted", "version": _VERSION, "accepted": self._is_accepted}
        if self._learnt is None:
            return {**state, "baseline": self._baseline.snapshot()}
        trouble = self._trouble
        return {
            **state,
            "learnt": asdict(self._learnt),
            "given": self._given,
            "block": [self._filled, self._excess],
            "evidence": {direction.value: bets.evidence for direction, bets in self._bets.items()},
            "trouble": trouble and [trouble.since_ms, trouble.bets.evidence, trouble.blocks, trouble.excess],
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        if (state.get("type"), state.get("version")) != ("budgeted", _VERSION):
            raise ValueError(f"state of budgeted, version {_VERSION}, expected, got {state.get('version')!r}")
        try:
            self._read(state)
        except (KeyError, TypeError) as error:
            raise ValueError(f"a damaged state of budgeted: {type(error).__name__} {error}") from None

    def _read(self, state: Mapping[str, Any]) -> None:
        self._is_accepted = state["accepted"]
        if "baseline" in state:
            self._baseline = Baseline.restored(state["baseline"], seasonal=self._settings.is_seasonal)
            return
        learnt = Learnt(**state["learnt"])
        self._begin(learnt, state["given"])
        self._filled, self._excess = state["block"]
        self._bets = self._all_bets(learnt, state["evidence"])
        if state["trouble"] is not None:
            since_ms, evidence, blocks, excess = state["trouble"]
            level = self._bets[Direction.WORSE].level
            self._trouble = Trouble(since_ms, self._recovery(learnt, level, evidence), blocks, excess)


def _running(values: Ints) -> Ints:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(values)))


def _prior(learnt: Learnt) -> int:
    """In blocks."""
    return max(1, _PRIOR_LOSSES // learnt.block)


def _variance(learnt: Learnt, rate: float) -> float:
    """Of a single loss in the long run, at this rate."""
    return max(learnt.design * rate * (1 - rate), 1e-9)
