"""`streamguard contract learn` and `check`."""

from collections import Counter
from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import orjson

from streamguard.config import Config
from streamguard.contracts.reading import Wanted, batches, fields_of, topic_of
from streamguard.core.codec import Reader
from streamguard.core.contract.fields import KINDS, ROOT, Contract, Kind
from streamguard.core.contract.inspecting import Inspector
from streamguard.core.contract.learning import Learner, LearningError
from streamguard.core.contract.schema import contract_of
from streamguard.core.fields import document_of
from streamguard.core.join import Input
from streamguard.core.printing import printable
from streamguard.errors import ConfigError
from streamguard.worker.arriving import contract_from
from streamguard.worker.topology import derive

Echo = Callable[[str], None]
_SHOWN = 20
# As a worker tolerates it where the configuration does not say.
_TOLERATED = 0.001
_DEVIATIONS = 4.0


def learn(config: Config, wanted: Wanted, out: Path, echo: Echo) -> None:
    """Write the JSON Schema of what came; raises `ConfigError` where nothing could be learnt."""
    fields = fields_of(config, wanted.side)
    version = getattr(fields, "version", None)
    opened = [".".join(each.parts) for each in (version, fields.request_id) if each is not None]
    learner, unreadable = Learner(opened), 0
    for batch in batches(config, wanted):
        documents = []
        for value in batch.values:
            try:
                documents.append(document_of(value, config.limits.record_bytes))
            except ValueError:
                unreadable += 1
        learner.take(documents)
    title = f"{wanted.things} on topic {topic_of(config, wanted.side)}"
    try:
        schema = learner.schema(title)
    except LearningError as error:
        raise ConfigError(f"{wanted.things}: {error}; name a time that has records, or files by --file") from None
    # What is written must be what is read.
    contract = contract_of(schema)
    try:
        out.write_bytes(orjson.dumps(schema, option=orjson.OPT_INDENT_2) + b"\n")
    except OSError as error:
        raise ConfigError(f"--out: cannot write {str(out)!r}: {error.strerror}") from None
    skipped = f", {unreadable:,} that are no JSON objects left out" if unreadable else ""
    echo(f"{len(contract.fields) - 1} fields of {learner.records:,} {wanted.things}{skipped}: {out}")
    echo(f"look at it, and name it in the configuration:\n{wanted.things}:\n  contract: {{schema: {out}}}")


def check(config: Config, wanted: Wanted, schema: Path | None, echo: Echo, *, is_json: bool) -> int:
    """Hold history against the contract; returns 1 where it differs oftener than is usual or tolerated."""
    section = (config.predictions if wanted.side is Input.PREDICTIONS else config.labels).contract
    name = str(schema) if schema is not None else None if section is None else section.schema_file
    if name is None:
        raise ConfigError(f"{wanted.things}.contract: is not in the configuration; name a schema by --schema")
    contract = contract_from(name, "--schema" if schema is not None else f"{wanted.things}.contract.schema")
    settings = derive(config, 1, 1).join
    mapping = settings.predictions if wanted.side is Input.PREDICTIONS else settings.labels
    watches = settings.watches if wanted.side is Input.PREDICTIONS else ()
    reader = Reader(mapping, watches, inspector=Inspector(contract, mapping.request_id))
    records, counts, shown = 0, Counter[int](), dict[int, str]()
    for batch in batches(config, wanted):
        reader.read(batch)
        records += len(batch)
        counts.update(reader.differences.marks)
        for mark, place, what in zip(
            reader.differences.marks, reader.differences.places, reader.differences.shown, strict=True
        ):
            shown.setdefault(mark, f"partition {batch.source.partition} offset {batch.offsets[place]}: {what}")
    if not records:
        raise ConfigError(f"{wanted.things}: there are no records to look at")
    tolerated = _TOLERATED if section is None else section.tolerated
    found = [_found(contract, mark, count, records, shown[mark], tolerated) for mark, count in sorted(counts.items())]
    wrong = [each for each in found if each["beyond"]]
    if is_json:
        echo(orjson.dumps({"records": records, "differences": found}).decode())
        return int(bool(wrong))
    for each in sorted(wrong, key=lambda one: -one["rate"])[:_SHOWN]:
        usual = f", {each['usual']:.2%} usual" if each["usual"] else ""
        echo(
            printable(
                f"{each['field'] or 'the record'}: {each['change']} in {each['rate']:.2%}{usual}; {each['first']}"
            )
        )
    if len(wrong) > _SHOWN:
        echo(f"and {len(wrong) - _SHOWN} more: --json has all")
    state = "differ from the contract oftener than is usual" if wrong else "are as the contract says"
    echo(f"{records:,} {wanted.things} {state}")
    return int(bool(wrong))


def _found(contract: Contract, mark: int, count: int, records: int, first: str, tolerated: float) -> dict[str, Any]:
    place, kind = divmod(mark, KINDS)
    usual = contract.level(mark)
    level = min(usual + tolerated, 1.0)
    # What is usual is met now and then by chance alone.
    most = records * level + _DEVIATIONS * sqrt(records * level * (1 - level))
    return {
        "field": contract.fields[place].name or ROOT,
        "change": Kind(kind).name.lower(),
        "count": count,
        "rate": count / records,
        "usual": usual,
        "beyond": count > most,
        "first": first,
    }
