"""The bodies of inference requests and responses, by what they hold: instances, tensors, data frames.

Sources:
- V1: TensorFlow Serving, "RESTful API", Predict API: `instances` (rows) or `inputs` (columns), `predictions` or
  `outputs`; KServe, "V1 Inference Protocol".
- V2: "Open Inference Protocol", github.com/kserve/open-inference-protocol, specification/protocol/inference_rest.md:
  `inputs` and `outputs` are tensors of `name`, `shape`, `datatype` and `data`, flat or nested in row-major order; and
  the binary tensor data extension, where a tensor has `parameters.binary_data_size` in place of `data`.
- MLflow, "Deploy MLflow Model as a Local Inference Server": `dataframe_split`, `dataframe_records`, `instances`,
  `inputs`.
"""

import math
from collections.abc import Sequence
from typing import Any

import orjson

from streamguard.core.fields import Unreadable, kind_of
from streamguard.core.payloads.answers import Answer

# A row of more is an image or a text in numbers, and nothing that single columns would say anything of.
_COLUMNS_MAX = 1000


def document_in(body: bytes) -> Any:
    """The JSON that a body is; raises `Unreadable`."""
    if body[:2] == b"\x1f\x8b":
        raise Unreadable("the payload is compressed (gzip): expected JSON")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in body or b"Infinity" in body:
            raise Unreadable(f"the payload holds NaN or Infinity, which are no JSON: {error}") from None
        raise Unreadable(f"the payload is not JSON: {error}") from None


def features_in(document: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """The instances of a request, each by the names of its columns; raises `Unreadable`.

    >>> features_in({"instances": [[6.8, 2.8], [6.0, 3.4]]}, ["length", "width"])
    [{'length': 6.8, 'width': 2.8}, {'length': 6.0, 'width': 3.4}]
    """
    if type(document) is not dict:
        raise Unreadable(f"the request is {kind_of(document)}: expected an object with instances or inputs")
    if "dataframe_split" in document:
        return _split(document["dataframe_split"], names)
    for name in ("dataframe_records", "instances", "inputs"):
        found = document.get(name)
        if found is None:
            continue
        if _is_tensors(found):
            return [_flat(row, names) for row in tensor_rows(found)]
        if type(found) is dict:
            return [_flat(row, names) for row in _columns(found)]
        if type(found) is list:
            return instances(found, names)
        raise Unreadable(f"{name} is {kind_of(found)}: expected an array")
    raise Unreadable("the request has no instances, inputs, dataframe_split or dataframe_records")


def instances(rows: Sequence[Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """Instances as they stand in V1: values, arrays of values or objects."""
    return [row if type(row) is dict else _flat({"": row}, names) for row in rows]


def answers_in(document: Any) -> list[Answer]:
    """The answers of a response, each by the names of its outputs; raises `Unreadable`.

    >>> answers_in({"outputs": [{"name": "predict", "shape": [2], "datatype": "INT64", "data": [1, 0]}]})
    [{'predict': 1}, {'predict': 0}]
    """
    if type(document) is list:
        return answers(document)
    if type(document) is not dict:
        raise Unreadable(f"the response is {kind_of(document)}: expected an object with predictions or outputs")
    refuse_error(document)
    found = document.get("predictions", document.get("outputs"))
    if found is None:
        raise Unreadable("the response has neither predictions nor outputs")
    if _is_tensors(found):
        return tensor_rows(found)
    if type(found) is dict:
        return answers([found]) if not _are_columns(found) else _columns(found)
    if type(found) is list:
        return answers(found)
    return answers([found])


def answers(rows: Sequence[Any]) -> list[Answer]:
    """Answers as they stand in V1: values, arrays of values or objects."""
    return [row if type(row) is dict else {"": row} for row in rows]


def refuse_error(document: dict[str, Any]) -> None:
    """Raise `Unreadable` where a response is an error: that is no prediction."""
    error = document.get("error", document.get("error_code"))
    if error:
        text = error if type(error) is str else orjson.dumps(error).decode()
        raise Unreadable(f"the model answered with an error, which is no prediction: {text[:200]}")


def table(names: Sequence[str], rows: Any, where: str) -> list[dict[str, Any]]:
    """Rows of values by the names of their columns; raises `Unreadable`."""
    if type(rows) is not list:
        raise Unreadable(f"{where} is {kind_of(rows)}: expected an array of rows")
    return [_flat({"": row}, names) for row in rows]


def _split(frame: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    if type(frame) is not dict or type(frame.get("data")) is not list:
        raise Unreadable("dataframe_split has no data")
    columns = frame.get("columns")
    named = [str(each) for each in columns] if type(columns) is list else list(names)
    return table(named, frame["data"], "dataframe_split.data")


def _is_tensors(found: Any) -> bool:
    return type(found) is list and bool(found) and all(type(each) is dict and "datatype" in each for each in found)


def _are_columns(found: dict[str, Any]) -> bool:
    return bool(found) and all(type(column) is list for column in found.values())


def _columns(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of columns by name; raises `Unreadable` where these differ in length."""
    if not _are_columns(found):
        raise Unreadable("columns are expected as arrays by their names")
    sizes = {name: len(column) for name, column in found.items()}
    if len(set(sizes.values())) > 1:
        raise Unreadable(f"columns differ in length: {', '.join(f'{k}: {n}' for k, n in list(sizes.items())[:20])}")
    return [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]


def tensor_rows(tensors: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of V2 tensors, each tensor's first axis being the rows; raises `Unreadable`.

    >>> tensor_rows([{"name": "x", "shape": [2, 2], "datatype": "FP32", "data": [1.0, 2.0, 3.0, 4.0]}])
    [{'x': [1.0, 2.0]}, {'x': [3.0, 4.0]}]
    """
    return _columns({str(each.get("name", number)): _tensor(each) for number, each in enumerate(tensors)})


def _tensor(tensor: dict[str, Any]) -> list[Any]:
    name, data, shape = str(tensor.get("name"))[:40], tensor.get("data"), tensor.get("shape")
    parameters = tensor.get("parameters")
    if type(data) is not list:
        if type(parameters) is dict and "binary_data_size" in parameters:
            raise Unreadable(f"tensor {name!r} has binary data, which are not read: log the payload as JSON")
        raise Unreadable(f"tensor {name!r} has no data")
    if type(parameters) is dict and parameters.get("content_type") == "base64":
        raise Unreadable(f"tensor {name!r} holds base64, which is not read")
    if type(shape) is not list or not all(type(size) is int for size in shape):
        raise Unreadable(f"tensor {name!r} has no shape")
    if not shape:
        shape = [1]
    if any(type(each) is list for each in data):
        return data
    known = math.prod(size for size in shape if size > 0) if -1 in shape else math.prod(shape)
    width = math.prod(size for size in shape[1:] if size > 0)
    if width < 1 or width > len(data) or len(data) % width or (-1 not in shape and known != len(data)):
        raise Unreadable(f"tensor {name!r} has {len(data)} values, and its shape is {shape}")
    if len(shape) == 1:
        return data
    return [data[at : at + width] for at in range(0, len(data), width)]


def _flat(row: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """A row's columns, each a value or a short array: an array of values is a column for each of them.

    A single array's columns are called by `names`, or by their numbers; those of one of several by its name, too.
    """
    if len(row) == 1:
        ((name, value),) = row.items()
        if type(value) is list and len(value) == 1 and name:
            value = value[0]
        if type(value) is not list:
            return {name or (names[0] if names else "0"): value}
        if len(value) > _COLUMNS_MAX or any(type(each) in {list, dict} for each in value):
            return {}
        if names and len(names) != len(value):
            raise Unreadable(f"an instance has {len(value)} values, and {len(names)} columns are named")
        return dict(zip(names or map(str, range(len(value))), value, strict=True))
    columns: dict[str, Any] = {}
    for name, value in row.items():
        if type(value) is not list:
            columns[name] = value
        elif len(value) == 1 and type(value[0]) is not list:
            columns[name] = value[0]
        elif len(columns) + len(value) <= _COLUMNS_MAX and not any(type(each) in {list, dict} for each in value):
            columns.update({f"{name}_{number}": each for number, each in enumerate(value)})
    return columns
