"""Who is told of alerts, and how: handlers, each a consumer group of its own on the alerts topic."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field as Setting
from pydantic import SecretStr, field_serializer, field_validator

from streamguard.config.base import Problem, Section
from streamguard.config.secrets import HIDDEN, read_secret
from streamguard.config.types import Count, Duration, FileName, Port, Text
from streamguard.core.detectors.settings import Moment

Texts = tuple[Text, ...]


class Match(Section):
    """Which alerts; of each field any of the values listed. Nothing listed: any."""

    kind: Texts = ()
    """Kinds, such as mismatch_drift, label_starvation, no_data."""
    status: tuple[Literal["raised", "updated", "resolved"], ...] = ()
    """raised, updated, resolved."""
    severity: tuple[Literal["critical", "warning", "info"], ...] = ()
    """critical, warning, info."""
    direction: tuple[Literal["worse", "better", "unknown"], ...] = ()
    """worse, better, unknown."""
    monitor: Texts = ()
    """Names of monitors."""
    model: Texts = ()
    """Names of models."""
    version: Texts = ()
    """Versions of models."""


class Silence(Section):
    """A time in which nobody is told: maintenance, or trouble that is known."""

    start: Moment = Setting(alias="from")
    """Event time (RFC 3339) from which on alerts are kept back."""
    end: Moment = Setting(alias="to")
    """Event time before which they are."""
    match: Match = Match()
    """Which alerts. Default: all."""
    reason: Text
    """Why; logged with each alert that is kept back."""

    def problems(self) -> Iterable[Problem]:
        if self.end <= self.start:
            yield ("to",), "must be later than from"


class Retry(Section):
    """How often an alert is tried again that could not be delivered."""

    first_ms: Duration = Setting(default=1_000, alias="first", gt=0)
    """Wait before the second try; each further wait is twice as long, with some jitter. Default 1s."""
    most_ms: Duration = Setting(default=60_000, alias="most", gt=0)
    """Longest wait between two tries. Default 1m."""
    deadline_ms: Duration = Setting(default=3_600_000, alias="deadline", gt=0)
    """How long after the first try the last may begin; then the alert goes to the topic of dead letters, with the
    reason. Default 1h."""


class Grouping(Section):
    """Alerts that come together are told together."""

    wait_ms: Duration = Setting(default=30_000, alias="wait", gt=0)
    """How long after the first alert others are waited for. Default 30s."""
    most: Count = 100
    """Most alerts that are told at once. Default 100."""


class Rate(Section):
    """How often a handler may deliver; what is more waits, and is not lost."""

    most: Count
    """So many deliveries."""
    per_ms: Duration = Setting(default=60_000, alias="per", gt=0)
    """In so long. Default 1m."""


class HandlerBase(Section):
    """What all handlers share."""

    name: Text
    """Name of the handler, unique: its consumer group is streamguard's and this."""
    match: Match = Match()
    """Which alerts it is told of. Default: all."""
    retry: Retry = Retry()
    """How often it tries again."""
    timeout_ms: Duration = Setting(default=10_000, alias="timeout", gt=0)
    """How long one try may take. Default 10s."""
    concurrency: Count = Setting(default=4, le=64)
    """Of how many episodes it delivers alerts at the same time; those of one episode in their order. Default 4."""
    group: Grouping | None = None
    """Deliver several alerts together. Null: each by itself."""
    rate: Rate | None = None
    """How often it may deliver. Null: as often as there is something."""
    start: Literal["latest", "earliest"] = Setting(default="latest")
    """Where a handler begins that has never run: with alerts from now on, or with all that the topic holds. Default
    latest."""


def _http(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL, such as https://example.com/hook")
    return url


class _Url(HandlerBase):
    """A handler that calls a URL, which may be a secret."""

    url_file: FileName | None = None
    """File that holds the URL, where it is a secret; read once, at start."""
    url: SecretStr | None = Setting(default=None, validate_default=True)
    """The URL: http or https. Redirects are not followed."""

    _read_url = field_validator("url")(read_secret)

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(_http(value.get_secret_value()))

    @field_serializer("url")
    def _hide_url(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.url_file else HIDDEN

    def problems(self) -> Iterable[Problem]:
        if self.url is None:
            yield ("url",), f"(handler {self.name!r}) is missing: set it, url_file, or the variable that wins over it"


class WebhookHandler(_Url):
    """Posts each alert as a CloudEvent."""

    type: Literal["webhook"]
    """`webhook`: CloudEvents over HTTP, structured; several as a batch."""
    secret_file: FileName | None = None
    """File that holds the key of the signature."""
    secret: SecretStr | None = Setting(default=None, validate_default=True)
    """Key by which the body is signed: X-Streamguard-Signature is `sha256=` and the HMAC in hexadecimal."""

    _read_secret = field_validator("secret")(read_secret)

    @field_serializer("secret")
    def _hide_secret(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.secret_file else HIDDEN


class SlackHandler(_Url):
    """Posts to a chat."""

    type: Literal["slack"]
    """`slack`: an incoming webhook of Slack, or of what is compatible (Mattermost, Rocket.Chat)."""


class PagerDutyHandler(HandlerBase):
    """Calls who is on duty, and calls off."""

    type: Literal["pagerduty"]
    """`pagerduty`: Events API v2; the episode is the deduplication key, and its end resolves it."""
    url: Annotated[Text, Setting(json_schema_extra={"format": "uri"})] = "https://events.pagerduty.com/v2/enqueue"
    """Where events are posted. Default: PagerDuty's."""
    routing_key_file: FileName | None = None
    """File that holds the integration key."""
    routing_key: SecretStr | None = Setting(default=None, validate_default=True)
    """Integration key of the service."""

    _read_key = field_validator("routing_key")(read_secret)
    _is_http = field_validator("url")(_http)

    @field_serializer("routing_key")
    def _hide_key(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.routing_key_file else HIDDEN

    def problems(self) -> Iterable[Problem]:
        if self.routing_key is None:
            yield ("routing_key",), f"(handler {self.name!r}) is missing: set it, or routing_key_file"


class AlertmanagerHandler(_Url):
    """Hands alerts to Prometheus' Alertmanager."""

    type: Literal["alertmanager"]
    """`alertmanager`: API v2; `url` is its root, such as http://alertmanager:9093."""
    lasts_ms: Duration = Setting(default=86_400_000, alias="lasts", gt=0)
    """How long Alertmanager takes an alert for firing that is neither updated nor resolved. Default 1d."""


class EmailHandler(HandlerBase):
    """Sends mail."""

    type: Literal["email"]
    """`email`: by SMTP."""
    host: Text
    """Server to hand mail to."""
    port: Port = 25
    """Its port. Default 25."""
    tls: Literal["none", "starttls", "tls"] = "starttls"
    """starttls: encrypted after the greeting; tls: from the start; none: not at all. Default starttls."""
    username: Text | None = None
    """Name to log in with. Null: no login."""
    password_file: FileName | None = None
    """File that holds the password."""
    password: SecretStr | None = Setting(default=None, validate_default=True)
    """The password."""
    sender: Text
    """Address that mail comes from."""
    to: Annotated[Texts, Setting(min_length=1)]
    """Addresses that it goes to."""

    _read_password = field_validator("password")(read_secret)

    @field_serializer("password")
    def _hide_password(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.password_file else HIDDEN

    @field_validator("sender", "to")
    @classmethod
    def _one_line(cls, value: Any) -> Any:
        for each in (value,) if isinstance(value, str) else value:
            if "@" not in each or any(character in each for character in "\r\n,;"):
                raise ValueError(f"must be an address such as team@example.com, got {each!r}")
        return value

    def problems(self) -> Iterable[Problem]:
        if (self.username is None) != (self.password is None):
            yield ("username",), f"(handler {self.name!r}) and password belong together: set both, or neither"


class CommandHandler(HandlerBase):
    """Runs a program."""

    type: Literal["command"]
    """`command`: a program, without a shell, that gets the alert as JSON on its standard input."""
    command: Annotated[Texts, Setting(min_length=1)]
    """The program and its arguments."""
    timeout_ms: Duration = Setting(default=60_000, alias="timeout", gt=0)
    """How long it may run; then it is ended. Default 1m."""


class FileHandler(HandlerBase):
    """Appends to a file."""

    type: Literal["file"]
    """`file`: a JSON line for each alert."""
    path: Text
    """The file; its directory must exist."""


Handler = Annotated[
    WebhookHandler
    | SlackHandler
    | PagerDutyHandler
    | AlertmanagerHandler
    | EmailHandler
    | CommandHandler
    | FileHandler,
    Setting(discriminator="type"),
]
"""One of those."""
