"""The AsyncAPI document: it is one, its references lead somewhere, and the topics are as it says."""

import os
import shutil
import subprocess
import tarfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, cast

import orjson
import pytest
from jsonschema import Draft7Validator

from streamguard.config import parse
from streamguard.core.join import JoinTask
from streamguard.core.records import Stream
from streamguard.handlers.alert import Alert
from streamguard.handlers.functions import on_alert
from streamguard.handlers.sink import PermanentError
from streamguard.logs.interface import Log, Record, TopicInfo
from streamguard.worker.probes import ENVIRONMENT_TOPIC
from streamguard.worker.topology import prepare
from tests.contract.schemas import ASYNCAPI, CONTRACT, document, wrong
from tests.contract.test_schemas import FILES
from tests.contract.test_structured import alert as silent_alert
from tests.core.helpers import batch, topology
from tests.handlers.helpers import Place, subscribed

SPECS = "@asyncapi/specs@6.11.1"
DOCUMENT = document(ASYNCAPI.name)
MESSAGES = DOCUMENT["components"]["messages"]
GROUP = "g"
SMALL: dict[str, Any] = {
    "log": {"kind": "kafka", "group": GROUP},
    "join": {"after": "1h"},
    "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 8}}],
}


@pytest.fixture
def official(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The JSON Schema of AsyncAPI 3.0.0 by those who make it; npm fetches it once.

    Without npm or a network what needs it is skipped, unless REQUIRE_NPM=1.
    """
    cache = getattr(request.config, "cache", None)
    kept = (tmp_path if cache is None else cache.mkdir("asyncapi")) / f"{SPECS.rpartition('@')[2]}-3.0.0.json"
    if not kept.exists():
        reason = fetch(tmp_path, kept)
        if reason is not None:
            outcome = pytest.fail if os.environ.get("REQUIRE_NPM") == "1" else pytest.skip
            outcome(f"{SPECS} cannot be had: {reason}")
    return orjson.loads(kept.read_bytes())


def fetch(directory: Path, kept: Path) -> str | None:
    """Put the schema there; says why it could not."""
    npm = shutil.which("npm")
    if npm is None:
        return "it needs npm"
    done = subprocess.run([npm, "pack", SPECS], cwd=directory, capture_output=True, text=True, check=False)
    if done.returncode:
        return (done.stderr.strip() or "npm says nothing").splitlines()[-1]
    (package,) = directory.glob("*.tgz")
    with tarfile.open(package) as archive:
        found = archive.extractfile("package/schemas/3.0.0.json")
        assert found is not None
        part = kept.with_suffix(f".{os.getpid()}")
        part.write_bytes(found.read())
    part.replace(kept)
    return None


def test_it_is_an_asyncapi_document(official: Any) -> None:
    """By the schema of version 3.0.0, bindings of Kafka included."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert [f"{each.json_path}: {each.message:.200}" for each in Draft7Validator(official).iter_errors(DOCUMENT)] == []


def test_the_official_schema_finds_mistakes(official: Any) -> None:
    """It looks as deep as the bindings."""
    validator = Draft7Validator(official)
    for changes in (
        {"info": {"title": "streamguard"}},
        {"operations": {"o": {"action": "publish", "channel": {"$ref": "#/channels/alerts"}}}},
        {"channels": {"c": {"bindings": {"kafka": {"partitions": 0, "bindingVersion": "0.5.0"}}}}},
    ):
        assert not validator.is_valid({**DOCUMENT, **changes})


def references(node: Any) -> Iterator[str]:
    """All `$ref`s."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        yield from references(inner)


def resolved(reference: str, base: Any) -> Any:
    """What a reference of this document leads to; fails where that is nothing."""
    file, _, pointer = reference.partition("#")
    found = document(file.removeprefix("./")) if file else base
    for name in pointer.split("/")[1:]:
        found = found[name]
    return found


def test_every_reference_leads_somewhere() -> None:
    """Within the file, or to a schema beside it; and nothing beside it is left over."""
    found = set(references(DOCUMENT))
    for reference in found:
        assert resolved(reference, DOCUMENT), reference
    files = {reference.partition("#")[0].removeprefix("./") for reference in found} - {""}
    assert files == {path.name for path in CONTRACT.glob("*.schema.json")}
    for file in files:
        for reference in references(document(file)):
            assert resolved(reference, document(file)), reference
    components = {f"#/components/{kind}/{name}" for kind, each in DOCUMENT["components"].items() for name in each}
    assert components <= found


def test_every_operation_has_messages_of_its_channel() -> None:
    """And every message an operation: what is on a topic is read or written by somebody."""
    used = set()
    for operation in DOCUMENT["operations"].values():
        channel = operation["channel"]["$ref"]
        assert all(each["$ref"].startswith(f"{channel}/messages/") for each in operation["messages"])
        used |= {each["$ref"] for each in operation["messages"]}
    channels = DOCUMENT["channels"].items()
    assert used == {f"#/channels/{name}/messages/{each}" for name, channel in channels for each in channel["messages"]}


EXAMPLES = [
    pytest.param(name, each, id=each["name"]) for name, message in MESSAGES.items() for each in message["examples"]
]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_fit(name: str, example: dict[str, Any]) -> None:
    """By the schemas of their message."""
    for part in ("payload", "headers"):
        schema = MESSAGES[name].get(part)
        assert (schema is None) == (part not in example)
        if schema is not None:
            assert wrong(f"{ASYNCAPI.name}#/components/messages/{name}/{part}", example[part]) == []


def test_the_alerts_among_the_examples_are_real() -> None:
    """They are those of the files, each as an event that could have carried it."""
    shown = [each["payload"] for each in MESSAGES["alert"]["examples"]]
    shown += [each["payload"]["data"] for each in MESSAGES["alertEvent"]["examples"]]
    assert len(shown) >= 3
    assert all(alert in FILES.values() for alert in shown)
    for each in MESSAGES["alert"]["examples"]:
        headers, alert = each["headers"], each["payload"]
        assert (headers["ce_id"], headers["ce_time"]) == (alert["id"], alert["event_time"])
        assert headers["ce_type"] == f"streamguard.alert.{alert['status']}"
    for each in MESSAGES["alertEvent"]["examples"]:
        event, alert = each["payload"], each["payload"]["data"]
        about = {"id": alert["id"], "time": alert["event_time"], "subject": alert["episode"]}
        assert about.items() <= event.items()


def test_channels_are_the_topics_of_a_configuration() -> None:
    """Each by its role, at the address that the topic has by default."""
    addresses = {name: each["address"].replace("{group}", GROUP) for name, each in DOCUMENT["channels"].items()}
    config = parse(SMALL)
    assert addresses == {**config.topics, "deadLetters": config.dead_letters_topic, "environment": ENVIRONMENT_TOPIC}


class Made:
    """A log that has the two inputs, and remembers what is made."""

    def __init__(self) -> None:
        self.found = {name: TopicInfo(name, 4) for name in ("predictions", "labels")}

    def topics(self, names: Collection[str]) -> dict[str, TopicInfo]:
        return {name: info for name, info in self.found.items() if name in names}

    def create(self, topic: TopicInfo) -> None:
        self.found[topic.name] = topic


def test_topics_are_made_as_the_document_says() -> None:
    """Retention, compaction, sizes; and partitions, where these do not depend on others."""
    log = Made()
    prepare(parse(SMALL), cast("Log", log))
    for role, topic in parse(SMALL).topics.items():
        binding = DOCUMENT["channels"][role]["bindings"]["kafka"]
        settings, made = binding["topicConfiguration"], log.found[topic]
        assert settings["cleanup.policy"] == (["compact"] if made.compacted else ["delete"])
        assert settings.get("max.message.bytes") == made.max_record_bytes
        if role not in ("predictions", "labels", "state"):
            assert settings["retention.ms"] == (-1 if made.retention_ms is None else made.retention_ms)
        assert binding.get("partitions", made.partitions) == made.partitions
    assert DOCUMENT["channels"]["alerts"]["bindings"]["kafka"]["partitions"] == 1


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """An embedded log with an alerts topic."""
    place = Place(tmp_path)
    yield place
    place.log.close()


def test_a_dead_letter_is_as_the_document_says(place: Place) -> None:
    """A real one, of an alert in either mode, on the topic as it is made."""

    @on_alert(start="earliest")
    def refuses(_: Alert) -> None:
        raise PermanentError("no such hook")

    alerts = [silent_alert(number).output("streamguard/g", is_structured=number > 0) for number in range(2)]
    place.log.append([Record("alerts", each.key, each.value, headers=each.headers) for each in alerts])
    with subscribed(place, [refuses]) as wait:
        wait(lambda: len(place.dead()) == 2)
    topic = place.config.dead_letters_topic
    found: dict[bytes | None, dict[str, str]] = {}
    for letters in place.log.read(topic):
        found |= {
            value: {name: (text or b"").decode() for name, text in headers}
            for value, headers in zip(letters.values, letters.headers, strict=True)
        }
    for value, headers in found.items():
        for part, told in (("payload", orjson.loads(value or b"")), ("headers", headers)):
            assert wrong(f"{ASYNCAPI.name}#/components/messages/deadLetter/{part}", told) == []
    assert set(found) == {each.value for each in alerts}
    made, said = place.log.topics([topic])[topic], DOCUMENT["channels"]["deadLetters"]["bindings"]["kafka"]
    assert (made.partitions, made.retention_ms, made.compacted) == (said["partitions"], None, False)
    assert said["topicConfiguration"] == {"cleanup.policy": ["delete"], "retention.ms": -1}


def test_records_as_in_the_examples_are_taken() -> None:
    """Those of the inputs, by default settings."""
    task = JoinTask(0, topology().join)
    predictions, labels = (
        [orjson.dumps(each["payload"]) for each in MESSAGES[name]["examples"]] for name in ("prediction", "label")
    )
    outputs = task.step(batch(predictions), batch(labels, topic="labels"))
    assert [output for output in outputs if output.stream is Stream.REJECTED] == []


@pytest.mark.parametrize("name", ["prediction", "label"])
def test_records_that_do_not_fit_are_rejected(name: str) -> None:
    """What the schema asks for is what the reader does."""
    example = MESSAGES[name]["examples"][0]["payload"]
    value = "prediction" if name == "prediction" else "label"
    long = {"request_id": "r" * 513, value: "v" * 1025}
    for field in ("request_id", value):
        for wrong_value in (None, {}, [], long[field], *([7, ""] if field == "request_id" else [])):
            record = {**example, field: wrong_value}
            assert wrong(f"{ASYNCAPI.name}#/components/schemas/{name}", record), record
            side = batch([orjson.dumps(record)], topic=f"{name}s")
            outputs = JoinTask(0, topology().join).step(*((side, None) if name == "prediction" else (None, side)))
            assert [output.stream for output in outputs if output.stream is Stream.REJECTED] != []
