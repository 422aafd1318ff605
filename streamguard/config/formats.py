"""In which form records come: streamguard's own, or the payload logs of what serves the model."""

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field as Setting

from streamguard.config.base import Problem, Section
from streamguard.config.types import Duration, FieldPath, Text


class Plain(Section):
    """A JSON object for each prediction or label, its fields where `fields` says."""

    type: Literal["plain"] = "plain"
    """The form of the records: `plain`, `batch`, or for predictions `kserve`, `seldon`, `mlflow`, `bentoml`."""


class Batch(Section):
    """A JSON object that holds many predictions or labels in an array."""

    type: Literal["batch"]
    """The form of the records."""
    rows: FieldPath
    """Where the array is. A row is an object, or the value itself; a field that a row lacks is the record's."""
    features: FieldPath | None = None
    """Where an array of the rows' features is, beside that of the rows. Null: rows hold them, if any do."""


class _Answers(Section):
    """How rows and answers are read, for every format of which a payload may hold several."""

    row_id: Text | None = None
    """Feature that holds each row's own request ID. Null: the request's ID, and of several rows `<id>:<number>`,
    counted from 0."""
    names: tuple[Text, ...] = ()
    """Names of the features, in order, where a payload has none. Default: 0, 1, 2 and so on."""
    output: Text | None = None
    """Output tensor, column or key that is the prediction. Null: the only one, or the first."""
    score: Text | None = None
    """Output tensor, column or key that is the probability of the positive class. Null: see `argmax`."""
    argmax: bool = False
    """Whether an answer is the array of all classes' probabilities, of which the largest is the prediction."""
    classes: tuple[Text, ...] = ()
    """With `argmax`, the classes in order. Default: 0, 1, 2 and so on, as numbers."""
    positive: Text | None = None
    """With `argmax`, the class whose probability is the score. Null: the second of two, of more none."""

    def problems(self) -> Iterable[Problem]:
        if not self.argmax:
            for name in ("classes", "positive"):
                if getattr(self, name):
                    yield (name,), "is set, but argmax is not: set argmax, too"
        elif self.positive is not None and self.positive not in (self.classes or ()):
            yield ("positive",), f"must be one of classes, got {self.positive!r}"


class _Paired(_Answers):
    """A format that logs a request and its response apart."""

    pair_within_ms: Duration = Setting(default=60_000, alias="pair_within", ge=0)
    """How far apart in event time a request and its response may be. What finds no partner within it: a response is a
    prediction without features, a request is rejected. Default 1m."""


class KServe(_Paired):
    """KServe's inference logger: CloudEvents with bodies of protocol V1 or V2."""

    type: Literal["kserve"]
    """The form of the records."""


class Seldon(_Paired):
    """Seldon Core's request logger, by CloudEvents or straight to Kafka: its own protocol, V1 or V2."""

    type: Literal["seldon"]
    """The form of the records."""


class MLflow(_Answers):
    """Rows of a Databricks inference table: request and response of an MLflow model server as JSON."""

    type: Literal["mlflow", "databricks"]
    """The form of the records; both names are one."""
    request_id: Literal["client_request_id", "databricks_request_id"] | None = None
    """Column of the request's ID. Null: `client_request_id`, where that is empty `databricks_request_id`."""


class BentoML(Section):
    """BentoML's monitoring records: columns, and the time and ID of the request."""

    type: Literal["bentoml"]
    """The form of the records."""
    prediction: Text
    """Column that the service logs with role `prediction`."""
    score: Text | None = None
    """Column that is the probability of the positive class. Null: none."""
    row_id: Text | None = None
    """Column that holds each record's own request ID. Null: `request_id`, which records of one request share."""
    utc_offset: Annotated[str, Setting(pattern=r"^[+-]\d\d:\d\d$")] = "+00:00"
    """Offset of the service's clock, since BentoML writes local times without one. Default +00:00."""


PredictionsFormat = Annotated[Plain | Batch | KServe | Seldon | MLflow | BentoML, Setting(discriminator="type")]
LabelsFormat = Annotated[Plain | Batch, Setting(discriminator="type")]
