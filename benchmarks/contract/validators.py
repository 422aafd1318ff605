"""Which validator is quick enough to look at every record: `python -m benchmarks.contract.validators`.

Parsed records of the contract's benchmark that conform to what was learnt of them, one by one through each; `of
parsing` is in units of what `orjson.loads` took for the same records, in the same run. fastjsonschema is measured where
it is installed.
"""

import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import orjson
from pydantic_core import SchemaValidator, core_schema

from benchmarks.contract.streams import FEATURES, records
from streamguard.core.contract.checking import Check
from streamguard.core.contract.learning import Learner
from streamguard.core.contract.schema import contract_of

_RECORDS = 20_000
_ROUNDS = 5


def main() -> None:
    """Print a line for each."""
    rows = list(records(_RECORDS, seed=1))
    raws = [orjson.dumps(row) for row in rows]
    learner = Learner(open_fields=["version"])
    learner.take(rows)
    schema = learner.schema("predictions")
    parsing = _quickest(lambda: [orjson.loads(raw) for raw in raws])
    sys.stdout.write(f"orjson.loads: {parsing / _RECORDS * 1e6:.2f} us a record\n")
    for name, run in _validators(schema, rows):
        seconds = _quickest(run)
        sys.stdout.write(f"{name}: {seconds / _RECORDS * 1e6:.2f} us a record, {seconds / parsing:.2f} of parsing\n")


def _validators(schema: dict[str, Any], rows: list[dict[str, Any]]) -> Iterator[tuple[str, Callable[[], Any]]]:
    check = Check(contract_of(schema))
    yield "msgspec, and what it refuses by ourselves", lambda: check.marks(rows)
    typed = SchemaValidator(_typed())
    yield "pydantic-core, types and bounds alone", lambda: [typed.validate_python(row) for row in rows]
    try:
        fast = import_module("fastjsonschema").compile(schema)
    except ModuleNotFoundError:
        return
    yield "fastjsonschema", lambda: [fast(row) for row in rows]


def _typed() -> Any:
    """The records as pydantic has them."""
    text, number = core_schema.str_schema(), core_schema.float_schema(ge=-1e9, le=1e13)
    whole = core_schema.int_schema()
    features = {f"f{each}": core_schema.typed_dict_field(number) for each in range(FEATURES)}
    merchant = {"country": core_schema.typed_dict_field(text), "category": core_schema.typed_dict_field(whole)}
    fields: dict[str, Any] = {
        **dict.fromkeys(("request_id", "prediction", "model", "version", "currency"), text),
        "timestamp": whole,
        **dict.fromkeys(("score", "amount"), number),
        "merchant": core_schema.typed_dict_schema(merchant),
        "device": core_schema.nullable_schema(text),
        "features": core_schema.typed_dict_schema(features),
    }
    required = {name: core_schema.typed_dict_field(each) for name, each in fields.items()}
    coupon = core_schema.typed_dict_field(text, required=False)
    return core_schema.typed_dict_schema({**required, "coupon": coupon}, extra_behavior="forbid")


def _quickest(run: Callable[[], Any]) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begun)
    return best


if __name__ == "__main__":
    main()
