"""A status as Prometheus text, and as the answers of /livez and /readyz."""

from dataclasses import replace
from http import HTTPStatus
from math import inf

import orjson
from prometheus_client.parser import text_string_to_metric_families

from streamguard.core.merge import Merge
from streamguard.core.outcomes import OutcomeRecord
from streamguard.worker.endpoints import livez, readyz
from streamguard.worker.metrics import exposition
from streamguard.worker.status import (
    Board,
    Caps,
    InputStatus,
    JoinStatus,
    MonitorStatus,
    Phase,
    Progress,
    State,
    Status,
)
from streamguard.worker.watchdog import Limits

COUNTS = {"consumed": 10, "matched": 4, "expired": 1, "late": 1, "duplicate": 1, "rejected": 1, "waiting": 2}
STATUS = Status(
    state=State.READY,
    behind={("predictions", 3): 100, ("labels", 3): 7, ("outcomes", 0): 0},
    held_back=("predictions-3",),
    joins=(
        JoinStatus(3, 40, 9600, (InputStatus("predictions", 90_500, COUNTS), InputStatus("labels", 30_000, COUNTS))),
        JoinStatus(4, 5, 1200, ()),
    ),
    monitors=(
        MonitorStatus(0, ("fraud", "other"), 12, 5000, 6, 2, {"kept": 3, "learning": 1}, (61_000, 0, None), (2,)),
    ),
    caps=Caps(1000, 2000),
)


PROMISES = ("kept", "none", "learning")


def board(status: Status = STATUS) -> Board:
    """One that shows this status, at 1000 s."""
    result = Board(lambda: 1000.0)
    result.status = status
    return result


def samples(status: Status = STATUS, epoch_offset_s: float = 0.0) -> dict[str, float]:
    """Every sample by its name and labels, as a scraper reads them."""
    text = exposition(board(status), epoch_offset_s).decode()
    return {
        ",".join([each.name, *(f"{name}={value}" for name, value in sorted(each.labels.items()))]): each.value
        for family in text_string_to_metric_families(text)
        for each in family.samples
    }


def test_every_fate_is_there_and_they_add_up() -> None:
    """With those that wait they are what was consumed; a task that is restored tells nothing of them."""
    found = samples()
    fates = {name: value for name, value in found.items() if name.startswith("streamguard_records_total")}

    assert fates["streamguard_records_total,fate=matched,input=labels,partition=3"] == 4
    assert len(fates) == 5 * 2
    assert found["streamguard_records_waiting,input=labels,partition=3"] == 2
    assert sum(fates.values()) / 2 + 2 == COUNTS["consumed"]
    assert not any("partition=4" in name and "records_" in name and "held" not in name for name in found)


def test_lag_is_told_in_records_and_in_event_time() -> None:
    """The second against the input that is furthest, which is at 0."""
    found = samples()

    assert found["streamguard_lag_records,input=predictions,partition=3"] == 100
    assert found["streamguard_lag_records,input=outcomes,partition=0"] == 0
    assert found["streamguard_lag_seconds,input=predictions,partition=3"] == 0
    assert found["streamguard_lag_seconds,input=labels,partition=3"] == 60.5


def test_each_source_tells_how_far_its_watermark_is_behind() -> None:
    """One that was never heard of holds everything back, so that any limit is passed."""
    found = samples()

    assert [found[f"streamguard_watermark_lag_seconds,partition=0,source={source}"] for source in range(3)] == [
        61,
        0,
        inf,
    ]


def test_what_is_held_stands_beside_its_cap() -> None:
    """A restored task holds memory too."""
    found = samples()

    assert found["streamguard_held_records,partition=3"] == 40
    assert found["streamguard_held_bytes,partition=4"] == 1200
    assert (found["streamguard_held_limit_records"], found["streamguard_held_limit_bytes"]) == (1000, 2000)
    assert found["streamguard_inputs_held_back"] == 1
    assert found["streamguard_outcomes_held,partition=0"] == 12
    assert found["streamguard_outcomes_released_total,partition=0"] == 5000
    assert found["streamguard_outcomes_late_total,partition=0"] == 6
    assert found["streamguard_segments,partition=0"] == 2
    promises = {each: found[f"streamguard_budgeted_detectors,partition=0,promise={each}"] for each in PROMISES}
    assert promises == {"kept": 3, "none": 0, "learning": 1}


def test_what_the_process_has_done_is_counted() -> None:
    """Commits with how long they took, and everything that went wrong."""
    progress = Progress(rejected=5, commit_failures=1, rebalances=2, sessions_lost=3, stalls=4)
    progress.alert_kinds["mismatch_drift", "critical", "raised"] = 6
    progress.add_commit(0.5, 100.5)
    progress.add_commit(0.75, 100.75)
    progress.add_commit(100.0, 200.0)
    found = samples(replace(STATUS, progress=progress), 1_700_000_000.0)

    buckets = {
        bound: found[f"streamguard_commit_seconds_bucket,le={bound}"]
        for bound in ("0.25", "0.5", "1.0", "60.0", "+Inf")
    }
    assert buckets == {"0.25": 0, "0.5": 1, "1.0": 2, "60.0": 2, "+Inf": 3}
    assert found["streamguard_commit_seconds_count"] == progress.commits == 3
    assert found["streamguard_commit_seconds_sum"] == progress.commit_seconds
    assert found["streamguard_last_commit_timestamp_seconds"] == 1_700_000_200
    assert found["streamguard_alerts_total,kind=mismatch_drift,severity=critical,status=raised"] == 6
    names = ("commit_failures", "rebalances", "sessions_lost", "consumer_stalls", "rejected_records")
    assert [found[f"streamguard_{name}_total"] for name in names] == [1, 2, 3, 4, 5]


def test_a_worker_without_work_says_so() -> None:
    """Partitions that another owns by now are told by that one alone."""
    found = samples(Status(State.REBALANCING, "the group is busy"))

    assert found["streamguard_ready"] == 0
    assert samples()["streamguard_ready"] == 1
    assert not any("partition=" in name for name in found)
    assert "streamguard_last_commit_timestamp_seconds" not in found


def test_two_workers_share_no_metric() -> None:
    """Several may live in one process."""
    other = replace(STATUS, restore_left=5)

    assert (samples(other)["streamguard_restore_left_records"], samples()["streamguard_restore_left_records"]) == (5, 0)


def test_what_was_published_does_not_change() -> None:
    """The loop counts on while a scrape reads."""
    progress = Progress()
    published = progress.copy()
    progress.add_commit(0.0, 1.0)
    progress.alert_kinds["a", "b", "c"] = 1

    assert published == Progress()


def test_ready_names_the_source_that_each_monitor_waits_for() -> None:
    """It is the first question when alerts do not come."""
    status, kind, body = readyz(replace(STATUS, monitors=(replace(STATUS.monitors[0], holders=(0, 2)),)))
    told = orjson.loads(body)

    assert (status, kind) == (HTTPStatus.OK, "application/json")
    assert (told["ready"], told["state"], told["inputs"], told["held_back"]) == (
        True,
        "ready",
        [3, 4],
        ["predictions-3"],
    )
    assert told["monitors"]["fraud"] == told["monitors"]["other"]
    assert told["monitors"]["fraud"] == {
        "partition": 0,
        "outcomes_held": 12,
        "waits_for": [{"source": 0, "behind_seconds": 61.0}, {"source": 2, "behind_seconds": None}],
    }


def test_a_worker_is_ready_only_where_it_does_its_part() -> None:
    """Every other state has its reason."""
    for state in set(State) - {State.READY}:
        status, _, body = readyz(Status(state, "because", restore_left=9))
        told = orjson.loads(body)
        assert status == HTTPStatus.SERVICE_UNAVAILABLE
        assert (told["ready"], told["state"], told["reason"], told["restore_left"]) == (
            False,
            state.value,
            "because",
            9,
        )
    assert readyz(Status(State.READY))[0] == HTTPStatus.OK, "a member without partitions does its part too"


def test_live_follows_the_pulse_alone() -> None:
    """An outage of the broker is no reason to kill a worker that tries again."""
    time_s = 1000.0
    shown = Board(lambda: time_s)
    shown.status = Status(State.OUTAGE, "no broker")
    shown.enter(Phase.WAITING)
    time_s += 60

    assert livez(shown, Limits(60, 300))[0] == HTTPStatus.OK
    time_s += 0.5
    status, _, body = livez(shown, Limits(60, 300))
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert orjson.loads(body) == {"alive": False, "phase": "waiting", "seconds": 60.5}


def test_a_merge_tells_how_far_each_source_is_behind() -> None:
    """Against the one that is furthest; a source that is idle is not waited for, however long it was silent."""
    merge = Merge(4)
    for source, watermark_ms, is_idle in ((0, 5000, False), (1, 9000, False), (2, None, True)):
        merge.add(OutcomeRecord(source, 4, 1, watermark_ms, is_idle, []), [], 0)

    assert merge.behind_ms == [4000, 0, 0, None]
    assert Merge(2).behind_ms == [None, None]
