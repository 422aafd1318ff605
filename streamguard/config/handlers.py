"""Who is told of alerts, and how: handlers, each a consumer group of its own on the alerts topic."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, SecretStr, ValidationInfo, field_serializer, field_validator
from pydantic import Field as Setting

from streamguard.config.base import Problem, Section
from streamguard.config.delivering import HandlerBase, Match, Texts
from streamguard.config.endpoints import (
    CaFile,
    HeaderName,
    Headers,
    has_userinfo,
    headers_of,
    http_url,
    is_loopback,
    open_url,
)
from streamguard.config.secrets import HIDDEN, Secret, SecretFile, read_secret
from streamguard.config.types import Count, Duration, Port, Text
from streamguard.core.detectors.settings import Moment


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


class _Remote(HandlerBase):
    """A handler that calls another machine."""

    ca_file: CaFile | None = None
    """PEM file of the authorities to trust, and no others, for a server whose certificate is of a private one; read
    once, at start. Null: those of the system."""

    def _unused_authorities(self, url: str) -> Iterable[Problem]:
        if self.ca_file is not None and not url.lower().startswith("https:"):
            yield ("ca_file",), f"(handler {self.name!r}) is set, but url does not encrypt; did you mean https?"


class _Url(_Remote):
    """A handler that calls a URL, which may be a secret."""

    url_file: SecretFile | None = None
    """File that holds the URL, where it is a secret; read once, at start."""
    url: Secret | None = Setting(default=None, validate_default=True)
    """The URL: http or https; it is never shown, so it may hold a user name and a password. Redirects are not
    followed."""

    _read_url = field_validator("url")(read_secret)

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(http_url(value.get_secret_value()))

    @field_serializer("url")
    def _hide_url(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.url_file else HIDDEN

    def problems(self) -> Iterable[Problem]:
        if self.url is None:
            yield ("url",), f"(handler {self.name!r}) is missing: set it, url_file, or the variable that wins over it"
        else:
            yield from self._unused_authorities(self.url.get_secret_value())


class _Signed(_Url):
    """A handler that posts to a URL of the user's own."""

    secret_file: SecretFile | None = None
    """File that holds the key of the signature."""
    secret: Secret | None = Setting(default=None, validate_default=True)
    """Key by which the body is signed: X-Streamguard-Signature is `sha256=` and the HMAC in hexadecimal."""
    header_files: dict[HeaderName, SecretFile] = Setting(default_factory=dict)
    """Further headers whose values are in files: of each name the file; read once, at start."""
    headers: Headers = Setting(default_factory=dict, validate_default=True)
    """Further headers, such as Authorization; their values are never shown."""

    _read_secret = field_validator("secret")(read_secret)

    @field_validator("headers")
    @classmethod
    def _read_headers(cls, value: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        return headers_of(value, info.data.get("header_files", {}))

    def problems(self) -> Iterable[Problem]:
        yield from super().problems()
        has_login = self.url is not None and has_userinfo(self.url.get_secret_value())
        if has_login and "authorization" in map(str.lower, self.headers):
            yield ("headers",), f"(handler {self.name!r}) has Authorization, and url has a user name; keep one"

    @field_serializer("secret")
    def _hide_secret(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.secret_file else HIDDEN

    @field_serializer("headers")
    def _hide_headers(self, value: dict[str, SecretStr]) -> dict[str, str]:
        return {name: HIDDEN for name in value if name not in self.header_files}


class WebhookHandler(_Signed):
    """Posts each alert as a CloudEvent."""

    type: Literal["webhook"]
    """`webhook`: CloudEvents over HTTP, structured; several as a batch."""


class RetrainHandler(_Signed):
    """Starts a retraining."""

    type: Literal["retrain"]
    """`retrain`: a program or a URL, at most once for an episode; what comes of it is an update of the episode."""
    command: Texts = ()
    """The program and its arguments, without a shell; set this, or url."""
    min_interval_ms: Duration = Setting(default=86_400_000, alias="min_interval")
    """Shortest time between the starts of two runs, by the clock; what would start one sooner is skipped. Default 1d.
    """
    timeout_ms: Duration = Setting(default=21_600_000, alias="timeout", gt=0)
    """How long the program may run; then it is ended. A URL must answer within a minute in any case. Default 6h."""
    concurrency: Count = Setting(default=1, le=1)
    """One run at a time."""

    def problems(self) -> Iterable[Problem]:
        if not self.command and self.url is None:
            yield ("command",), f"(handler {self.name!r}) is missing: set it, or url or url_file"
        elif self.command and self.url is not None:
            yield ("command",), f"(handler {self.name!r}) and url are two ways to start a retraining: keep one of them"
        elif self.url is not None:
            yield from super().problems()
        if self.command:
            for name in ("secret", "headers", "header_files", "ca_file"):
                if getattr(self, name):
                    yield (name,), f"(handler {self.name!r}) is for url, and command is set: leave it out"
        for name in ("group", "rate"):
            if getattr(self, name) is not None:
                words = "is set, but a retraining is of one episode, and min_interval says how often: leave it out"
                yield (name,), f"(handler {self.name!r}) {words}"
        match = self.match
        if match.status == ("resolved",) or match.direction == ("better",) or match.kind == ("retraining",):
            yield (
                ("match",),
                f"(handler {self.name!r}) never starts a run, which is for trouble that has begun or goes on",
            )


class SlackHandler(_Url):
    """Posts to a chat."""

    type: Literal["slack"]
    """`slack`: an incoming webhook of Slack, or of what is compatible (Mattermost, Rocket.Chat)."""


class PagerDutyHandler(_Remote):
    """Calls who is on duty, and calls off."""

    type: Literal["pagerduty"]
    """`pagerduty`: Events API v2; the episode is the deduplication key, and its end resolves it."""
    url: Annotated[Text, AfterValidator(open_url), Setting(json_schema_extra={"format": "uri"})] = (
        "https://events.pagerduty.com/v2/enqueue"
    )
    """Where events are posted; notices, which nothing resolves, go to `change/enqueue` beside it. It is shown, so it
    may hold no password. Default: PagerDuty's."""
    routing_key_file: SecretFile | None = None
    """File that holds the integration key."""
    routing_key: Secret | None = Setting(default=None, validate_default=True)
    """Integration key of the service."""

    _read_key = field_validator("routing_key")(read_secret)

    @field_serializer("routing_key")
    def _hide_key(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.routing_key_file else HIDDEN

    def problems(self) -> Iterable[Problem]:
        if self.routing_key is None:
            yield ("routing_key",), f"(handler {self.name!r}) is missing: set it, or routing_key_file"
        yield from self._unused_authorities(self.url)


class AlertmanagerHandler(_Url):
    """Hands alerts to Prometheus' Alertmanager."""

    type: Literal["alertmanager"]
    """`alertmanager`: API v2; `url` is its root, such as http://alertmanager:9093."""
    lasts_ms: Duration = Setting(default=86_400_000, alias="lasts", gt=0)
    """How long Alertmanager takes an alert for firing that is neither updated nor resolved; one that never will be, at
    most an hour. Default 1d."""


class EmailHandler(_Remote):
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
    """Name to log in with; needs encryption, unless the server is on this machine. Null: no login."""
    password_file: SecretFile | None = None
    """File that holds the password."""
    password: Secret | None = Setting(default=None, validate_default=True)
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
        if self.tls != "none":
            return
        if self.username is not None and not is_loopback(self.host):
            words = f"is none, and the password would go to {self.host!r} in clear text: set starttls or tls"
            yield ("tls",), f"(handler {self.name!r}) {words}, or leave out username and password"
        if self.ca_file is not None:
            yield ("ca_file",), f"(handler {self.name!r}) is set, but tls is none; did you mean starttls?"


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
    | RetrainHandler
    | SlackHandler
    | PagerDutyHandler
    | AlertmanagerHandler
    | EmailHandler
    | CommandHandler
    | FileHandler,
    Setting(discriminator="type"),
]
"""One of those."""
