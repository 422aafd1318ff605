"""What is told of a fleet: the one that is not like the others, once, and nothing of a fleet that is well."""

from itertools import pairwise
from typing import Any

import pytest

from tests.core.environment.fleets import (
    EVERY_MS,
    GIB,
    GONE,
    MINUTE_MS,
    START_MS,
    alerts,
    as_batch,
    fingerprint,
    pods,
    story,
    task,
    told_every,
)

OTHER: dict[str, Any] = {"packages": {"scikit-learn": "1.5.0"}}
PACKAGE = "package scikit-learn of fraud 7"


def test_a_clean_fleet_is_told_nothing_of() -> None:
    """For a day, twelve pods on nodes of which the kernels differ."""
    assert task().step(as_batch(told_every(1440, pods()))) == []


def test_one_with_another_version_is_named_once_when_the_grace_is_over_and_resolved_when_mended() -> None:
    """It reports the other version at minute 62, half an hour later it is told, and no more of it until minute 182."""
    changes = {"pod-7": [(60, OTHER), (180, {})]}
    found = alerts(outputs := task().step(as_batch(told_every(400, pods(), changes))))
    assert story(outputs) == [
        (92, "raised", PACKAGE, "pod-7 runs scikit-learn 1.5.0, the other 11 run 1.4.2 (fraud 7)"),
        (182, "resolved", PACKAGE, "all 12 run scikit-learn 1.4.2 (fraud 7)"),
    ]
    raised, resolved = found
    assert (raised["model"], raised["version"], raised["severity"]) == ("fraud", "7", "warning")
    assert raised["onset"] == resolved["onset"] == "2026-01-05T01:02:30.000Z"
    assert resolved["duration_s"] == 90 * 60
    values = raised["environment"]["details"]["values"]
    assert [(each["value"], each["count"]) for each in values] == [("1.4.2", 11), ("1.5.0", 1)]
    assert values[1]["instances"] == ["pod-7"]


@pytest.mark.parametrize("minutes", [1, 5, 20])
def test_a_rolling_deployment_is_no_difference(minutes: int) -> None:
    """Pods that keep their names change one after the other, so many minutes apart; the turn of all is remembered."""
    changes = {name: [(60 + minutes * place, OTHER)] for place, name in enumerate(pods())}
    given = task()
    assert given.step(as_batch(told_every(500, pods(), changes))) == []
    (turn,) = given.turns
    assert (turn.is_wrong, turn.subject) == (False, PACKAGE)
    assert turn.told == "all 12 run scikit-learn 1.5.0, 1.4.2 was usual before (fraud 7)"
    assert 0 <= turn.since_ms - START_MS - 60 * MINUTE_MS < EVERY_MS


def test_a_deployment_with_new_names_is_no_difference() -> None:
    """Each new pod comes five minutes before an old one stops, which is forgotten a quarter of an hour later."""
    names = [*pods(), *(f"new-{number}" for number in range(12))]
    changes: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for place, name in enumerate(pods()):
        changes[name] = [(65 + 5 * place, GONE)]
        changes[f"new-{place}"] = [(0, GONE), (60 + 5 * place, OTHER)]
    assert task().step(as_batch(told_every(500, names, changes))) == []


def test_a_deployment_of_another_version_of_the_model_compares_within_versions() -> None:
    """However slowly it goes."""
    changes = {name: [(60 + 60 * place, {**OTHER, "version": "8"})] for place, name in enumerate(pods())}
    assert task().step(as_batch(told_every(900, pods(), changes))) == []


def test_a_deployment_that_is_stuck_is_told_as_a_split() -> None:
    """Six and six: there is no majority to be held against."""
    changes = {name: [(60, OTHER)] for name in pods()[:6]}
    outputs = task().step(as_batch(told_every(300, pods(), changes)))
    assert story(outputs) == [(92, "raised", PACKAGE, "6 run scikit-learn 1.4.2, 6 run 1.5.0 (fraud 7)")]
    assert alerts(outputs)[0]["environment"]["details"]["expected"] is None


def test_of_two_instances_neither_is_right() -> None:
    """And with `min_instances: 3` they are not compared."""
    rows = told_every(200, pods(2), {"pod-2": [(0, OTHER)]})
    ((_, status, _, told),) = story(task().step(as_batch(rows)))
    assert (status, told) == ("raised", "1 runs scikit-learn 1.4.2, 1 runs 1.5.0 (fraud 7)")
    assert task(min_instances=3).step(as_batch(rows)) == []


def test_an_unset_variable_is_told_of_all_that_lack_it() -> None:
    """By name."""
    unset = {"variables": {"CUDA_VISIBLE_DEVICES": None}}
    outputs = task().step(as_batch(told_every(120, pods(), {"pod-3": [(0, unset)], "pod-10": [(0, unset)]})))
    ((_, _, subject, told),) = story(outputs)
    assert subject == "variable CUDA_VISIBLE_DEVICES of fraud 7"
    assert told == "pod-3 and pod-10 have CUDA_VISIBLE_DEVICES unset, the other 10 have 0 (fraud 7)"


def test_a_package_that_is_not_installed() -> None:
    """It is not in the record."""
    lacking = fingerprint("pod-2")["packages"]
    del lacking["numpy"]
    rows = told_every(120, pods())
    for _, record in rows:
        if record["instance"] == "pod-2":
            record["packages"] = lacking
    ((_, _, _, told),) = story(task().step(as_batch(rows)))
    assert told == "pod-2 runs no numpy, the other 11 run 2.0.1 (fraud 7)"


def test_what_is_not_told_is_not_compared() -> None:
    """A variable that only some allow to be sent, packages that are not sent, a hash that is not computed yet."""
    silent = {"packages": None, "model_files": {"fraud.onnx": {"size": 1, "modified": 1, "sha256": None}}}
    rows = told_every(200, pods(), {"pod-5": [(0, silent)], "pod-6": [(0, {"variables": {"TF_DETERMINISTIC": "1"}})]})
    assert task().step(as_batch(rows)) == []


def test_a_model_file_with_another_hash() -> None:
    """The model is not the one that the others have."""
    other = {"model_files": {"fraud.onnx": {"size": 10, "modified": 1, "sha256": "cd" * 32}}}
    ((_, _, subject, told),) = story(task().step(as_batch(told_every(120, pods(), {"pod-1": [(0, other)]}))))
    assert subject == "model file fraud.onnx of fraud 7"
    assert told.startswith("pod-1 has model file fraud.onnx cdcd")


def test_another_image_is_one_episode() -> None:
    """Twenty packages differ at once, and end together."""
    image = {"packages": {f"package-{number}": "9" for number in range(20)}}
    outputs = task().step(as_batch(told_every(300, pods(), {"pod-7": [(60, image), (120, {})]})))
    (raised, resolved) = story(outputs)
    assert raised[:3] == (92, "raised", "packages of fraud 7")
    assert raised[3].startswith("pod-7 differs in 20 packages: package-0 9 (others 0.0), package-1 9 (others 1.0), ")
    assert resolved[:3] == (122, "resolved", "packages of fraud 7")
    details = alerts(outputs)[0]["environment"]["details"]
    assert (details["count"], len(details["facts"])) == (20, 20)


def test_one_that_goes_to_and_fro_does_not_escape() -> None:
    """It is told when the grace is over although it was well in between, and then once a cooldown at most."""
    flapping = [(60 + 10 * place, OTHER if place % 2 == 0 else {}) for place in range(40)]
    outputs = task().step(as_batch(told_every(480, pods(), {"pod-7": flapping})))
    raised = [minute for minute, status, _, _ in story(outputs) if status == "raised"]
    assert raised[0] == 102
    assert min(later - earlier for earlier, later in pairwise(raised)) >= 60


def test_one_that_leaves_ends_what_it_began() -> None:
    """Fifteen minutes of silence, of its own interval thrice."""
    outputs = task().step(as_batch(told_every(300, pods(), {"pod-7": [(60, OTHER), (120, GONE)]})))
    assert [(minute, status) for minute, status, _, _ in story(outputs)] == [(92, "raised"), (132, "resolved")]


def test_a_declared_baseline_is_held_against_even_a_single_instance() -> None:
    """And against all, where all are alike and wrong."""
    baseline = {"packages": {"Scikit_Learn": "1.4.2"}, "variables": {"OMP_NUM_THREADS": "4"}, "python": "3.11.9"}
    outputs = task(baseline=baseline).step(as_batch(told_every(120, pods(1), {"pod-1": [(0, OTHER)]})))
    assert [told for _, _, _, told in story(outputs)] == [
        "pod-1 runs scikit-learn 1.5.0; the declared baseline is 1.4.2 (fraud 7)",
        "pod-1 has OMP_NUM_THREADS unset; the declared baseline is 4 (fraud 7)",
    ]


def test_a_model_file_that_is_not_there() -> None:
    """Null in the record, which is not the same as a hash that is not known yet."""
    lacking = {"model_files": {"fraud.onnx": None}}
    ((_, _, _, told),) = story(task().step(as_batch(told_every(120, pods(), {"pod-1": [(0, lacking)]}))))
    assert told.startswith("pod-1 has model file fraud.onnx missing, the other 11 have abab")


def test_what_is_ignored_may_differ() -> None:
    """By patterns; the default lets kernels differ."""
    rows = told_every(120, pods(), {"pod-1": [(0, {**OTHER, "variables": {"CUDA_VISIBLE_DEVICES": "1"}})]})
    assert task(ignore=["package scikit-*", "variable CUDA_*", "kernel"]).step(as_batch(rows)) == []
    found = story(task(ignore=["package *", "variable *"]).step(as_batch(rows)))
    assert [subject for _, _, subject, _ in found] == ["kernel of fraud 7"]


def test_memory_near_the_limit_is_told_at_once() -> None:
    """At 96%, and ends below 90%, not at 92%."""
    used = [(60, {"memory": {"used": int(2 * GIB * share)}}) for share in (0.96, 0.92, 0.85)]
    changes = [(60 + 30 * place, change) for place, (_, change) in enumerate(used)]
    found = story(task().step(as_batch(told_every(240, pods(), {"pod-5": changes}))))
    assert found == [
        (61, "raised", "memory pod-5", "pod-5 uses 96% of its memory limit (1.9 of 2.0 GiB)"),
        (121, "resolved", "memory pod-5", "pod-5 uses 85% of its memory limit (1.7 of 2.0 GiB)"),
    ]


def test_silence_is_told_only_where_a_number_is_expected() -> None:
    """And of a fleet that never was whole, after the grace."""
    rows = told_every(300, pods(), {"pod-2": [(60, GONE), (200, {})]})
    assert task().step(as_batch(rows)) == []
    assert story(task(expect_instances=12).step(as_batch(rows))) == [
        (70, "raised", "silent instances", "11 of the 12 expected instances report; silent: pod-2"),
        (200, "resolved", "silent instances", "12 instances report"),
    ]
    ((minute, _, _, told),) = story(task(expect_instances=13).step(as_batch(rows[:200])))
    assert (minute, told) == (30, "12 of the 13 expected instances report")


def test_nobody_is_forgotten_while_all_are_silent() -> None:
    """Three hours in which the topic was out of reach end no episode and begin none."""
    before, after = told_every(120, pods(), {"pod-7": [(60, OTHER)]}), told_every(120, pods(), {"pod-7": [(0, OTHER)]})
    late = [(time_ms + 300 * MINUTE_MS, record) for time_ms, record in after]
    outputs = task(expect_instances=12).step(as_batch([*before, *late]))
    assert [(minute, status) for minute, status, _, _ in story(outputs)] == [(92, "raised")]


@pytest.mark.parametrize("off_ms", [365 * 24 * 60 * MINUTE_MS, -365 * 24 * 60 * MINUTE_MS, 30 * MINUTE_MS])
def test_one_with_a_wrong_clock_changes_nothing_for_the_others(off_ms: int) -> None:
    """A year ahead, a year behind, half an hour ahead."""
    rows = told_every(400, pods(), {"pod-7": [(60, OTHER), (180, {})]})
    wrong = [(time_ms + (off_ms if record["instance"] == "pod-3" else 0), record) for time_ms, record in rows]
    found = story(task().step(as_batch(wrong)))
    assert [(status, subject) for _, status, subject, _ in found] == [("raised", PACKAGE), ("resolved", PACKAGE)]
    assert 80 <= found[0][0] <= 125
    assert 180 <= found[1][0] <= 215


def test_text_of_strangers_is_printable() -> None:
    """In what is told."""
    rows = told_every(120, pods(), {"pod-1": [(0, {"variables": {"CUDA_VISIBLE_DEVICES": "\x1b[2J\n"}})]})
    ((_, _, _, told),) = story(task().step(as_batch(rows)))
    assert told.isprintable()
    assert "\\x1b[2J\\n" in told
