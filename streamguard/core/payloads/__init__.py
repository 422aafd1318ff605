"""Payload formats: what serves models logs requests and responses in its own form; here it becomes predictions."""

from collections.abc import Callable
from typing import Any

from streamguard.config.formats import Batch as BatchFormat
from streamguard.config.formats import BentoML, KServe, LabelsFormat, MLflow, PredictionsFormat, Seldon
from streamguard.core.codec import Mapping
from streamguard.core.payloads import bentoml, kserve, mlflow, plain, seldon
from streamguard.core.payloads.adapter import Adapter, Half, Paired, Raw, Row, Side
from streamguard.core.payloads.answers import Reading

__all__ = ["Adapter", "Half", "Paired", "Raw", "Row", "Side", "adapter"]


def adapter(settings: PredictionsFormat | LabelsFormat, mapping: Mapping) -> Adapter:
    """The adapter of a format; `mapping` is that of its side, and plain records and batches are read by it."""
    return _ADAPTERS[settings.type](settings, mapping)


def _plain(_settings: Any, mapping: Mapping) -> Adapter:
    return plain.Plain(mapping)


def _batch(settings: BatchFormat, mapping: Mapping) -> Adapter:
    features = None if settings.features is None else tuple(settings.features.split("."))
    return plain.Batch(mapping, tuple(settings.rows.split(".")), features)


def _kserve(settings: KServe, mapping: Mapping) -> Adapter:
    return kserve.KServe(_reading(settings), settings.pair_within_ms, mapping.record_bytes)


def _seldon(settings: Seldon, mapping: Mapping) -> Adapter:
    return seldon.Seldon(_reading(settings), settings.pair_within_ms, mapping.record_bytes)


def _mlflow(settings: MLflow, mapping: Mapping) -> Adapter:
    return mlflow.MLflow(_reading(settings), settings.request_id, mapping.record_bytes)


def _bentoml(settings: BentoML, mapping: Mapping) -> Adapter:
    return bentoml.BentoML(
        settings.prediction, settings.score, settings.row_id, settings.utc_offset, mapping.record_bytes
    )


def _reading(settings: KServe | Seldon | MLflow) -> Reading:
    return Reading(
        settings.row_id,
        settings.names,
        settings.output,
        settings.score,
        settings.argmax,
        settings.classes,
        settings.positive,
    )


_ADAPTERS: dict[str, Callable[[Any, Mapping], Adapter]] = {
    "plain": _plain,
    "batch": _batch,
    "kserve": _kserve,
    "seldon": _seldon,
    "mlflow": _mlflow,
    "databricks": _mlflow,
    "bentoml": _bentoml,
}
"""By name of the format."""
