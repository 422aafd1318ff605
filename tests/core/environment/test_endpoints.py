"""Endpoints: what becomes an episode, when, and what is said of it."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamguard.config.loading import AS_A_FILE
from streamguard.config.probes import ProbeChecks
from streamguard.core.environment.change import Change
from streamguard.core.environment.endpoints import Endpoints
from streamguard.core.environment.shapes import hash_of, shape_of

MINUTE_MS = 60_000
DAY_MS = 86_400_000
USUAL = {"model": "m", "predictions": [{"label": "x", "score": 0.5}]}
AWAY = {"kind": "refused", "message": "a:80 refuses the connection: nothing listens there"}


def checks(**given: Any) -> ProbeChecks:
    """As a configuration has them."""
    return ProbeChecks.model_validate(given, **AS_A_FILE)


def good(body: Any = USUAL, **fields: Any) -> dict[str, Any]:
    """A result, as a probe has it."""
    places = shape_of(body)
    schema = {"hash": hash_of(places), "fields": places}
    about = {"v": 1, "type": "probe", "target": "scoring", "ok": True, "status": 200, "latency_ms": 40.0}
    return {**about, "schema": schema, "error": None, **fields}


def bad(kind: str, **fields: Any) -> dict[str, Any]:
    """One that failed."""
    error = {"kind": kind, "message": f"a:80 has failed by {kind}"}
    return good(**{"ok": False, "schema": None, "status": None, "error": error, **fields})


def run(results: Iterable[dict[str, Any]], endpoints: Endpoints | None = None, start: int = 0) -> list[Change]:
    """What is found, one result a minute."""
    endpoints = endpoints or Endpoints(checks())
    return [
        change for place, result in enumerate(results, start) for change in endpoints.take(place * MINUTE_MS, result)
    ]


def short(changes: Iterable[Change]) -> list[tuple[str, bool, int]]:
    """What each is about, whether it is wrong, and since which minute."""
    return [
        (each.subject.removeprefix("endpoint/scoring/"), each.is_wrong, each.since_ms // MINUTE_MS) for each in changes
    ]


def test_failures_one_after_the_other_are_an_episode() -> None:
    """Dated to the first; it ends by good ones, dated to the first of them."""
    away = bad("refused", error=AWAY)
    changes = run([good(), away, away, good(), away, away, away, away, good(), away, good(), good(), good()])
    assert short(changes) == [("answer", True, 4), ("answer", False, 10)]
    assert changes[0].told == (
        "endpoint scoring does not answer as expected, 3 times one after the other: a:80 refuses the connection:"
        " nothing listens there; look whether the server runs, and on which port"
    )
    assert changes[0].details == {"error": "refused", "message": AWAY["message"], "status": None}
    assert changes[1].told == "endpoint scoring answers as expected again"


def test_how_many_is_set() -> None:
    """One failure, if so wanted."""
    settings = checks(fail_after=1, recover_after=1)
    assert short(run([good(), bad("dns"), good()], Endpoints(settings))) == [("answer", True, 1), ("answer", False, 2)]


def test_refused_credentials_are_an_episode_of_their_own() -> None:
    """And who refuses them answers; while nobody answers, nothing is said of them."""
    refused, away = bad("authentication", status=401), bad("timeout")
    changes = run([good(), *[away] * 3, *[refused] * 4, *[away] * 4, good(), good()])
    assert short(changes) == [
        ("answer", True, 1),
        ("answer", False, 4),
        ("authentication", True, 4),
        ("answer", True, 8),
        ("answer", False, 12),
        ("authentication", False, 12),
    ]
    assert "look whether the credentials have expired" in changes[2].told


def test_a_broken_contract_is_one_too() -> None:
    """The form is looked at all the same."""
    broken = {"ok": False, "error": {"kind": "contract", "message": "in the answer of a:80 model is missing"}}
    lacks = good({"predictions": []}, **broken)
    changes = run([*[good()] * 10, *[lacks] * 4])
    assert short(changes) == [("contract", True, 10), ("schema", True, 10)]


def test_a_lost_or_retyped_field_is_breaking() -> None:
    """Until it is back; which fields is said."""
    lacks = good({"predictions": [{"label": 1, "score": 0.5, "why": "new"}]})
    changes = run([*[good()] * 10, *[lacks] * 5, good(), good()])
    assert short(changes) == [("schema", True, 10), ("schema", False, 15)]
    assert changes[0].told == (
        "the answers of endpoint scoring have changed their form: model is gone, predictions[].label is number, which"
        " was string, predictions[].why is new (string); look at what was deployed there, and at who reads these fields"
    )
    assert changes[0].details == {
        "gone": ["model"],
        "came": {"predictions[].why": "string"},
        "retyped": {"predictions[].label": {"before": "string", "after": "number"}},
        "breaking": True,
        "accepted": False,
    }
    assert changes[1].told == "the answers of endpoint scoring have their former form again"


def test_a_new_field_harms_nobody() -> None:
    """It is a note, and belongs to the form from then on."""
    more = good({**USUAL, "took": {"ms": 3}})
    changes = run([*[good()] * 10, *[more] * 20, *[good()] * 3])
    assert short(changes) == [("schema", False, 10), ("schema", True, 30)]
    assert changes[0].told == (
        "the answers of endpoint scoring have more fields, which harms nobody: took is new (object)"
    )
    assert changes[0].details["breaking"] is False
    assert changes[1].details["gone"] == ["took"]


def test_what_comes_and_goes_while_it_is_learnt_is_no_change() -> None:
    """A field that may be missing, a number that may be null, an array that may be empty."""
    varied = [good({"a": 1, "b": []}), good({"a": None, "b": [{"c": 1}]}), good({"a": 1, "b": [{"c": 2}], "d": "x"})]
    assert run(varied * 20) == []
    assert run([*varied * 4, *[varied[1]] * 10, *[varied[0]] * 10]) == []


def test_single_answers_of_another_form_are_no_change() -> None:
    """Nor are several in a row that have nothing in common."""
    first, second = good({"model": "m"}), good({"predictions": USUAL["predictions"]})
    assert run([*[good()] * 10, *[first, second] * 10, good(), first, first, good()]) == []


def test_a_new_form_that_stays_is_taken_for_usual() -> None:
    """After a day; then it is learnt like the first."""
    other = good({"version": 2})
    changes = run([*[good()] * 10, *[other] * 1500, *[good()] * 3])
    assert short(changes) == [("schema", True, 10), ("schema", False, 1450), ("schema", True, 1510)]
    assert changes[1].details["accepted"] is True


def test_an_answer_that_is_no_json_any_more_has_changed() -> None:
    """Though it is good by its status."""
    changes = run([*[good()] * 10, *[good(schema=None)] * 3])
    assert changes[0].details["retyped"] == {"$": {"before": "object", "after": "nothing"}}
    assert run([good(schema=None)] * 100) == []


def test_another_good_status_is_a_note() -> None:
    """If it lasts."""
    other = good(status=202)
    changes = run([good(), other, other, good(), *[other] * 10])
    assert short(changes) == [("status", False, 4)]
    assert changes[0].details == {"before": 200, "after": 202}


def certified(left_days: float, minute: int, **fields: Any) -> dict[str, Any]:
    """A result at this minute, with a certificate of a year that ends so many days later."""
    expires = minute * MINUTE_MS + int(left_days * DAY_MS)
    shown = {"tls_issued": expires - 365 * DAY_MS, "tls_expires": expires, "tls_issuer": "O=A", **fields}
    return good(**{**shown, "tls_issued": max(shown["tls_issued"], 0)})


def test_a_certificate_is_told_twice_before_it_expires() -> None:
    """At 14 days and at 3, and when it is renewed."""
    endpoints, found = Endpoints(checks()), []
    start = 400 * 1440
    for day in range(20):
        minute = start + day * 1440
        changes = endpoints.take(minute * MINUTE_MS, certified(20 - day, minute))
        found += [(day, change.is_wrong, change.told) for change in changes]
    renewed = start + 20 * 1440
    for minute in (renewed, renewed + 1, renewed + 2):
        changes = endpoints.take(minute * MINUTE_MS, certified(90, minute))
        found += [(20, change.is_wrong, change.told) for change in changes]
    assert found == [
        (6, True, "the certificate of endpoint scoring expires in 14 days: look at its renewal"),
        (17, True, "the certificate of endpoint scoring expires in 3 days: look at its renewal"),
        (20, False, "the certificate of endpoint scoring was renewed, for 90 days"),
    ]


def test_a_certificate_of_few_days_is_told_in_its_last_third() -> None:
    """Else it would be about to expire all its life."""
    start_ms = 1000 * DAY_MS
    days = {"tls_issued": start_ms, "tls_expires": start_ms + 6 * DAY_MS}
    endpoints = Endpoints(checks())
    told = [endpoints.take(start_ms + hour * DAY_MS // 24, good(**days)) for hour in range(6 * 24)]
    assert [hour for hour, changes in enumerate(told) if changes] == [96, 130]


def test_another_issuer_is_a_note() -> None:
    """If it stays; behind an endpoint there may be two servers for a while."""
    old, new = (certified(90, 0, tls_issuer=name) for name in ("O=A", "O=B"))
    changes = run([old, new, old, new, old, new, new, new])
    assert short(changes) == [("issuer", False, 6)]
    assert changes[0].told.startswith("the certificate of endpoint scoring is issued by O=B, and was by O=A")


def test_a_slower_endpoint_is_told() -> None:
    """And that it is as quick as before; bad answers say nothing of it."""
    slow = good(latency_ms=130.0)
    changes = run([*[good()] * 300, bad("timeout", latency_ms=5000.0), *[slow] * 20, *[good()] * 20])
    assert short(changes) == [("latency", True, 301), ("latency", False, 323)]
    assert changes[0].told.startswith("endpoint scoring answers lastingly slower: 130 ms where 39.7 ms was usual")
    assert run([*[good()] * 300, *[slow] * 20], Endpoints(checks(latency=False))) == []


def test_endpoints_are_judged_by_themselves() -> None:
    """Failures of one are none of another."""
    names = ["a", "b"] * 2
    assert run([bad("dns", target=name) for name in names]) == []
    assert len(run([bad("dns", target=name) for name in names * 2])) == 2


def test_there_are_at_most_a_thousand() -> None:
    """The one longest without a result goes."""
    endpoints = Endpoints(checks())
    run([good(target=f"t{number}") for number in range(1000)], endpoints)
    run([good(target="t0"), good(target="new")], endpoints)
    kept = endpoints.snapshot()["endpoints"]
    assert len(kept) == 1000
    assert {"t0", "new", "t2"} <= kept.keys()
    assert "t1" not in kept


RESULTS = st.lists(
    st.sampled_from(
        [
            good(),
            good(),
            good({"model": 1}),
            good({**USUAL, "more": [1]}),
            good(schema=None),
            good(status=204),
            good(latency_ms=500.0),
            bad("refused"),
            bad("authentication"),
            bad("contract", schema={"hash": "0" * 16, "fields": {"$": "object"}}),
            bad("refused", target="other"),
            certified(2, 400 * 1440),
            certified(90, 400 * 1440, tls_issuer="O=B"),
        ]
    ).flatmap(lambda each: st.integers(1, 12).map(lambda count: [each] * count)),
    max_size=30,
).map(lambda runs: [each for part in runs for each in part])


@settings(max_examples=60, deadline=None)
@given(RESULTS, st.data())
def test_to_stop_and_go_on_changes_nothing(results: list[dict[str, Any]], data: st.DataObject) -> None:
    """From a snapshot as JSON, wherever."""
    settings = checks(accept_after="20m")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(results)), max_size=4)))
    whole, endpoints, parts = Endpoints(settings), Endpoints(settings), []
    for start, end in zip([0, *cuts], [*cuts, len(results)], strict=True):
        endpoints = Endpoints(settings, json.loads(json.dumps(endpoints.snapshot())))
        parts += run(results[start:end], endpoints, start)
    assert parts == run(results, whole)
    assert json.dumps(endpoints.snapshot()) == json.dumps(whole.snapshot())


def test_every_place_to_stop_in_a_short_story() -> None:
    """In the midst of what is counted, too."""
    other, away = good({"model": 1}), bad("refused")
    story = [*[good()] * 10, *[other] * 4, good(), other, good(), good(), *[away] * 4, good(), good()]
    expected = run(story)
    assert short(expected) == [("schema", True, 10), ("schema", False, 16), ("answer", True, 18), ("answer", False, 22)]
    for cut in range(len(story)):
        endpoints = Endpoints(checks())
        first = run(story[:cut], endpoints)
        again = Endpoints(checks(), json.loads(json.dumps(endpoints.snapshot())))
        assert first + run(story[cut:], again, cut) == expected


@settings(max_examples=60, deadline=None)
@given(RESULTS)
def test_episodes_begin_and_end_in_turn(results: list[dict[str, Any]]) -> None:
    """None ends twice, none is dated to later than it is told; a certificate may be told twice."""
    is_wrong: dict[str, bool] = {}
    endpoints = Endpoints(checks())
    for place, result in enumerate(results):
        for change in endpoints.take(place * MINUTE_MS, result):
            kind = change.subject.rpartition("/")[2]
            if kind in {"answer", "authentication", "contract", "latency"}:
                assert change.is_wrong != is_wrong.get(change.subject, False)
            is_wrong[change.subject] = change.is_wrong
            assert 0 <= change.since_ms <= place * MINUTE_MS
            json.dumps(change.details)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["$", "a", "object"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({}, optional=dict.fromkeys(good(tls_expires=1, tls_issued=1, tls_issuer=""), ANYTHING))
    )
)
def test_any_record_is_taken(records: list[dict[str, Any]]) -> None:
    """The topic is open: what is no result changes nothing, and one that is half wrong counts for the rest."""
    endpoints = Endpoints(checks())
    for record in records:
        endpoints.take(0, record)
        endpoints.take(0, {**good(), **record, "v": 1, "type": "probe", "target": "t", "ok": True})
        endpoints.take(0, {**record, "v": 1, "type": "probe", "target": "t", "ok": False})
    json.dumps(endpoints.snapshot())


@pytest.mark.parametrize(
    "fields",
    [
        {"v": 2},
        {"v": None},
        {"type": "deployment"},
        {"target": ""},
        {"target": "t" * 201},
        {"target": 7},
        {"ok": 1},
        {"ok": None},
    ],
)
def test_what_is_no_result_is_passed_over(fields: dict[str, Any]) -> None:
    """Of another version, another kind, or of nobody."""
    endpoints = Endpoints(checks())
    assert run([{**bad("dns"), **fields}] * 5, endpoints) == []
    assert endpoints.snapshot() == {"endpoints": {}}


def test_hostile_results_stay_small() -> None:
    """Long texts are cut, and illegal places left out."""
    hostile = {
        "$": "object",
        "@@@": "string",
        **{f"f{number}": "string" for number in range(5000)},
        "x" * 10_000: "string",
        "y": "z" * 10_000,
    }
    endpoints = Endpoints(checks())
    changes = run(
        [
            good(schema={"fields": hostile}, tls_expires=10**12, tls_issuer="i" * 10**6),
            *[bad("k" * 10**6, error={"kind": "k" * 10**6, "message": "m" * 10**6})] * 4,
            *[good(schema={"fields": {f"g{number}": "null" for number in range(10**4)}})] * 20,
        ],
        endpoints,
    )
    assert changes
    assert "@" not in json.dumps(endpoints.snapshot())
    assert max(len(json.dumps([each.told, each.details])) for each in changes) < 10_000
    assert len(json.dumps(endpoints.snapshot())) < 100_000
