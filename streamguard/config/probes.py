"""Endpoints of models that are called now and then, what they must answer, and when that is worth an alert."""

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    JsonValue,
    SecretStr,
    ValidationInfo,
    WithJsonSchema,
    field_serializer,
    field_validator,
)
from pydantic import Field as Setting

from streamguard.config.base import Problem, Section
from streamguard.config.endpoints import CaFile, HeaderName, Headers, has_userinfo, headers_of, http_url
from streamguard.config.secrets import HIDDEN, Secret, SecretFile, read_secret
from streamguard.config.types import Count, Duration, Text
from streamguard.core.environment.shapes import TYPES, is_path

_STATUS = range(100, 600)


def _one_or_more(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _statuses(values: tuple[int, ...]) -> tuple[int, ...]:
    for value in values:
        if value not in _STATUS:
            raise ValueError(f"must be HTTP statuses such as 200, got {value}")
    return values


def _place(path: str) -> str:
    if not is_path(path):
        raise ValueError(f"must be a place in the answer, such as predictions[].score, got {path!r}")
    return path


def _types(text: str) -> str:
    if wrong := [each for each in text.split("|") if each not in {*TYPES, "any"}]:
        raise ValueError(f"must be any, or some of {', '.join(TYPES)} with | between, got {wrong[0]!r}")
    return text


AnswerPath = Annotated[str, AfterValidator(_place)]
Statuses = Annotated[
    tuple[int, ...],
    Setting(min_length=1),
    BeforeValidator(_one_or_more),
    AfterValidator(_statuses),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}),
]


class Expect(Section):
    """What an answer must be to be a good one."""

    status: Statuses = (200,)
    """HTTP status, or several. Default 200."""
    fields: dict[AnswerPath, Annotated[str, AfterValidator(_types)]] = Setting(default_factory=dict)
    """Fields that the JSON of the answer must have, each with its type: `predictions[].score: number`. Types are
    object, array, string, number, boolean, null, several with | between, or any. Default: none."""


class Probe(Section):
    """An endpoint that is called now and then."""

    name: Text
    """Name of the endpoint, unique; results and alerts carry it."""
    url_file: SecretFile | None = None
    """File that holds the URL, where it is a secret; read once, at start."""
    url: Secret | None = Setting(default=None, validate_default=True)
    """The URL: http or https; it is never shown, so it may hold a user name and a password."""
    every_ms: Duration = Setting(default=60_000, alias="every", ge=1_000)
    """Time from one call to the next. Default 1m."""
    timeout_ms: Duration = Setting(default=5_000, alias="timeout", gt=0)
    """How long a call may take, from the look-up of the host to the last byte. Default 5s."""
    connect_timeout_ms: Duration | None = Setting(default=None, alias="connect_timeout", gt=0)
    """How long the connection, and the agreement on TLS, may each take. Null: as long as the call."""
    method: Literal["GET", "HEAD", "POST", "PUT", "OPTIONS"] | None = None
    """HTTP method. Null: GET, and POST with a body."""
    header_files: dict[HeaderName, SecretFile] = Setting(default_factory=dict)
    """Headers whose values are in files: of each name the file; read once, at start."""
    headers: Headers = Setting(default_factory=dict, validate_default=True)
    """Headers, such as Authorization; their values are never shown."""
    body: JsonValue = None
    """What is sent, as JSON. It is shown, so it may hold no secret. Null: nothing."""
    expect: Expect = Expect()
    """What a good answer is."""
    maps: tuple[AnswerPath, ...] = ()
    """Objects of the answer whose field names are data, such as user IDs: these names are neither compared nor told.
    """
    redirects: Annotated[int, Setting(ge=0, le=5)] = 0
    """So many redirects are followed, with GET and HEAD, and only to the host and port that are configured. Default 0:
    a redirect is an answer like any other."""
    max_bytes: Count = Setting(default=1_048_576, le=67_108_864)
    """Largest answer that is read; a larger one is an error. Default 1048576."""
    ca_file: CaFile | None = None
    """PEM file of the authorities to trust, and no others; read once, at start. Null: those of the system."""
    use_proxy: bool = False
    """Call by the proxy that HTTP_PROXY, HTTPS_PROXY and NO_PROXY name. Default false."""

    _read_url = field_validator("url")(read_secret)

    @field_validator("url")
    @classmethod
    def _is_http(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(http_url(value.get_secret_value()))

    @field_validator("headers")
    @classmethod
    def _read_headers(cls, value: dict[str, SecretStr], info: ValidationInfo) -> dict[str, SecretStr]:
        return headers_of(value, info.data.get("header_files", {}))

    @field_serializer("url")
    def _hide_url(self, value: SecretStr | None) -> str | None:
        return None if value is None or self.url_file else HIDDEN

    @field_serializer("headers")
    def _hide_headers(self, value: dict[str, SecretStr]) -> dict[str, str]:
        return {name: HIDDEN for name in value if name not in self.header_files}

    @property
    def verb(self) -> str:
        """The method that is used."""
        return self.method or ("GET" if self.body is None else "POST")

    def problems(self) -> Iterable[Problem]:
        who = f"(probe {self.name!r})"
        if self.url is None:
            yield ("url",), f"{who} is missing: set it, url_file, or the variable that wins over it"
            return
        url = self.url.get_secret_value()
        if self.ca_file is not None and not url.lower().startswith("https:"):
            yield ("ca_file",), f"{who} is set, but url does not encrypt; did you mean https?"
        if has_userinfo(url) and "authorization" in map(str.lower, self.headers):
            yield ("headers",), f"{who} has Authorization, and url has a user name; keep one"
        if self.body is not None and self.verb in {"GET", "HEAD"}:
            yield ("body",), f"{who} is not sent with {self.verb}; did you mean POST?"
        if self.redirects and self.verb not in {"GET", "HEAD"}:
            yield ("redirects",), f"{who} are followed with GET and HEAD alone, and this is {self.verb}: leave it out"
        if self.expect.fields and self.verb == "HEAD":
            yield ("expect", "fields"), f"{who} cannot be there: HEAD has no body; did you mean GET?"
        if self.timeout_ms > self.every_ms:
            yield ("timeout",), f"{who} is longer than every: calls would overlap; raise every, or lower it"


class ProbeChecks(Section):
    """When what probes find is worth an alert."""

    fail_after: Count = Setting(default=3, le=1000)
    """So many failures one after the other begin an episode, dated to the first. Default 3."""
    recover_after: Count = Setting(default=2, le=1000)
    """So many good answers one after the other end it. Default 2."""
    schema_after: Count = Setting(default=3, le=1000)
    """So many answers one after the other of another form, or of another status, are a change. Default 3."""
    accept_after_ms: Duration = Setting(default=86_400_000, alias="accept_after", gt=0)
    """A changed form, or a slower answer, that has lasted so long is taken for the usual one. Default 1d."""
    latency: bool = True
    """Alert when answers take lastingly longer than they used to. Default true."""
    tls_days: Annotated[int, Setting(ge=0, le=3650)] = 14
    """Alert so many days before a certificate expires, or in the last third of its life, whichever is later; again 3
    days, or a tenth, before. Default 14."""
