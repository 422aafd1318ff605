"""What comes in: predictions, labels, and how one finds the other."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field as Setting
from pydantic import model_validator

from streamguard.config.arrivals import InputVolume, MessageContract
from streamguard.config.base import Problem, Section
from streamguard.config.formats import LabelsFormat, Plain, PredictionsFormat
from streamguard.config.types import Count, Duration, Field, Text, TopicName


class PredictionFields(Section):
    """Where a prediction record keeps what."""

    request_id: Field = Field(path="request_id")
    """What a label names its prediction by."""
    value: Field = Field(path="prediction")
    """The model's answer."""
    time: Field | None = None
    """When the prediction was made: epoch milliseconds or RFC 3339. Null: the record's Kafka timestamp."""
    model: Field | None = Field(path="model")
    """Name of the model; monitors call it `model`. Null: records do not carry one."""
    version: Field | None = Field(path="version")
    """Version of the model; monitors call it `version`. Null: records do not carry one."""
    score: Field | None = None
    """The model's probability (0 to 1) of the positive class; log_loss and brier need it. Null: none."""


class Predictions(Section):
    """What the model answered."""

    topic: TopicName = "predictions"
    """Topic that the serving side writes to."""
    format: PredictionsFormat = Plain()
    """In which form records come there. All but `plain` need `streamguard rekey`. Default plain."""
    rekey: bool | None = None
    """Whether `streamguard rekey` writes them anew, with the request ID as key: for records without that key. Null:
    where the format needs it."""
    partitions: Count | None = None
    """Partitions of the topic that `streamguard rekey` writes, when it is created. Null: as many as the labels topic
    has, which the join needs; where labels are written anew, too, as many as `topic` has."""
    fields: PredictionFields = PredictionFields()
    """Where a record keeps what. With a format that is neither plain nor batch: in the records that `streamguard rekey`
    writes, and `time` and `score` are then there by default."""
    contract: MessageContract | None = None
    """Alert when records no longer look as they must, as the join reads them. Null: no such check."""
    volume: InputVolume | None = None
    """Alert when records stop, or fall off. Null: no such check."""

    @property
    def is_rekeyed(self) -> bool:
        """Whether the join reads what `streamguard rekey` writes."""
        return bool(self.rekey) or self.format.type != "plain"

    @model_validator(mode="before")
    @classmethod
    def _default_fields(cls, data: Any) -> Any:
        """Name the fields of the records that the re-key stage makes of payloads."""
        form = data.get("format") if isinstance(data, Mapping) else None
        kind = form.get("type", "plain") if isinstance(form, Mapping) else getattr(form, "type", "plain")
        fields = data.get("fields") or {} if form is not None else None
        if kind in {"plain", "batch"} or not isinstance(fields, Mapping):
            return data
        return {**data, "fields": {"time": "timestamp", "score": "score", **fields}}

    def problems(self) -> Iterable[Problem]:
        yield from _rekey_problems(self)


class LabelFields(Section):
    """Where a label record keeps what."""

    request_id: Field = Field(path="request_id")
    """Names the prediction that the label belongs to."""
    value: Field = Field(path="label")
    """The truth."""
    time: Field | None = None
    """When the truth became known: epoch milliseconds or RFC 3339. Null: the record's Kafka timestamp, which
    is right unless the payload says just that; a copy of the prediction's time makes labels late."""


class Labels(Section):
    """What turned out to be true."""

    topic: TopicName = "labels"
    """Topic that the truth arrives on."""
    format: LabelsFormat = Plain()
    """In which form records come there; `batch` needs `streamguard rekey`. Default plain."""
    rekey: bool | None = None
    """Whether `streamguard rekey` writes them anew, with the request ID as key: for records without that key. Null:
    where the format needs it."""
    partitions: Count | None = None
    """Partitions of the topic that `streamguard rekey` writes, when it is created. Null: as many as the topic of
    predictions that the join reads has."""
    fields: LabelFields = LabelFields()
    """Where a record keeps what."""
    contract: MessageContract | None = None
    """Alert when records no longer look as they must. Null: no such check."""
    volume: InputVolume | None = None
    """Alert when records stop, or fall off. Null: no such check."""

    @property
    def is_rekeyed(self) -> bool:
        """Whether the join reads what `streamguard rekey` writes."""
        return bool(self.rekey) or self.format.type != "plain"

    def problems(self) -> Iterable[Problem]:
        yield from _rekey_problems(self)


def _rekey_problems(section: Predictions | Labels) -> Iterable[Problem]:
    if section.rekey is False and section.is_rekeyed:
        yield ("rekey",), f"must be true with format {section.format.type}: leave it out"
    if section.partitions is not None and not section.is_rekeyed:
        yield ("partitions",), "is set, but nothing is written anew: set rekey, or leave it out"


class Store(Section):
    """Where records wait that are more than memory is to hold."""

    directory: Text | None = None
    """Directory on a local disk, for this worker alone: of each join task only the newest records are then in
    memory, and a restart goes on from the directory. Null: all are in memory."""
    memory_records: Count = 500_000
    """With a directory: about how many records of one join task (one input partition) are in memory. Default
    500000."""


class Join(Section):
    """Which label belongs to which prediction, how long each waits, and how much may wait."""

    before_ms: Duration = Setting(default=0, alias="before", ge=0)
    """How much earlier than its prediction a label may be. Default 0s."""
    after_ms: Duration = Setting(alias="after", ge=0)
    """How much later than its prediction a label may be. Long enough for nearly all labels; predictions are
    kept in memory this long. No default: only you know how late your labels are."""
    disorder_ms: Duration = Setting(default=30_000, alias="disorder", ge=0)
    """How far behind the newest event time of its partition a record may be before it is late and left out.
    Default 30s."""
    max_ahead_ms: Duration = Setting(default=3_600_000, alias="max_ahead", ge=0)
    """How far ahead of its own Kafka timestamp an event time may be before the record is rejected: one wrong
    clock must not make all that follows late. Default 1h."""
    idle_after_ms: Duration | None = Setting(default=30_000, alias="idle_after", gt=0)
    """How long a partition may bring nothing before the others stop waiting for it. Null: never. Default
    30s."""
    max_waiting: Count = 5_000_000
    """Most records that one join task (one input partition) holds; then it pauses the input that runs ahead.
    Default 5000000."""
    max_waiting_bytes: Count = 1_073_741_824
    """Most memory that one join task (one input partition) holds, in bytes; then it pauses the input that
    runs ahead, and at twice as much the worker ends with an error. What is in join.store.directory does not
    count. Default 1073741824, 1 GiB."""
    store: Store = Store()
    """Where records wait that are more than memory is to hold."""

    def problems(self) -> Iterable[Problem]:
        if self.before_ms == 0 and self.after_ms == 0:
            yield ("after",), "must be > 0 where join.before is 0, or no label ever matches"
