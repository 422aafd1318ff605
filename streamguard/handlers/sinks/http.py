"""Posting to a URL: what an answer means, within a time limit, and without a word of the URL's secrets.

Certificates are checked against the handler's `ca_file`; without one against the file or directory that SSL_CERT_FILE
or SSL_CERT_DIR names, else against certifi's. HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY are followed.
"""

import asyncio
import html
import json
import re
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, quote, quote_plus, unquote

import httpx

from streamguard.errors import ConfigError
from streamguard.handlers.sink import DeliveryError, PermanentError, TemporaryError
from streamguard.handlers.sinks import plain

_ANSWER_BYTES = 65_536
_ANSWER_CHARS = 200
# Not about what was sent, but about the moment: too slow, too early, too much.
_TEMPORARY = {408, 425, 429}
_HEADERS = {
    "User-Agent": "streamguard",
    # Nothing is unpacked, so a small answer cannot become a large one.
    "Accept-Encoding": "identity",
}
# Shorter parts of a path, a query or a header, such as `api`, and shorter user names are no secrets, and hiding them
# would spoil what an answer says.
SECRET_CHARS_MIN = 6


class _Hidden(httpx.URL):
    """A URL that shows no more than its host, since httpx logs each URL that it calls."""

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc.decode('ascii')}"

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


@dataclass(frozen=True, slots=True)
class Post:
    """What is to be posted."""

    body: bytes
    below: str = ""
    """A directory to put before the last part of the URL's path: with `change`, `/v2/enqueue` is `/v2/change/enqueue`.
    """


class Poster:
    """Posts to one URL, from any thread that runs no event loop.

    `path` is added to the URL's. `secrets` are kept out of errors, as all of the URL is but host and port. `ca_file`
    is a PEM file of the authorities to trust. Raises `ConfigError` for what is no http or https URL.
    """

    def __init__(
        self,
        handler: str,
        url: str,
        timeout_ms: int,
        *,
        path: str = "",
        secrets: Sequence[str] = (),
        ca_file: str | None = None,
    ) -> None:
        parsed = _parsed(handler, url)
        own_path, question, query = parsed.raw_path.decode("ascii").partition("?")
        target = f"{own_path.rstrip('/') if path else own_path}{path}{question}{query}"
        self._url = _Hidden(parsed.copy_with(raw_path=target.encode("ascii"), fragment=None))
        self._timeout_s = timeout_ms / 1000
        # Made once: reading the certificates takes longer than a call.
        self._tls = httpx.create_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)
        self._hidden = _pattern(_secrets_of(self._url, url, secrets))
        port = parsed.port or {"http": 80, "https": 443}[parsed.scheme]
        self.where = f"[{parsed.host}]:{port}" if ":" in parsed.host else f"{parsed.host}:{port}"

    def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Returns when the body was taken; raises `TemporaryError` or `PermanentError`."""
        (failure,) = self.post_all([Post(body)], headers)
        if failure is not None:
            raise failure

    def post_all(self, posts: Sequence[Post], headers: Mapping[str, str]) -> list[DeliveryError | None]:
        """Post one after the other, all in the time that one try may take, until one fails but for now.

        Returns what became of each that was tried: None, it was taken.
        """
        found: list[DeliveryError | None] = []
        # In a loop of its own a try can be cut at any point, in the middle of a look-up of the host, too.
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(self._post_all(posts, headers, found.append))
            loop.run_until_complete(loop.shutdown_asyncgens())
        finally:
            loop.close()
        return found if len(found) == len(posts) or _is_temporary(found) else [*found, self._too_late()]

    async def _post_all(
        self, posts: Sequence[Post], headers: Mapping[str, str], note: Callable[[DeliveryError | None], None]
    ) -> None:
        client = httpx.AsyncClient(verify=self._tls, timeout=None, follow_redirects=False)  # noqa: S113 - of the whole
        whole = httpx.Headers(_HEADERS)
        whole.update(headers)
        try:
            async with asyncio.timeout(self._timeout_s), client:
                for post in posts:
                    failure = await self._try(client, post, whole)
                    note(failure)
                    if isinstance(failure, TemporaryError):
                        return
        except TimeoutError:
            return

    async def _try(self, client: httpx.AsyncClient, post: Post, headers: httpx.Headers) -> DeliveryError | None:
        url = _below(self._url, post.below)
        request = client.build_request("POST", url, content=post.body, headers=headers)
        request.url = url
        try:
            response = await client.send(request, stream=True)
            try:
                answer = await _start_of(response)
            finally:
                await response.aclose()
        except httpx.LocalProtocolError as error:
            return PermanentError(f"{self.where} cannot be sent this: {self._public(str(error))}")
        except (httpx.RequestError, OSError) as error:
            reason = self._public(str(error)) or "no reason given"
            return TemporaryError(f"{self.where} gave no answer: {type(error).__name__}: {reason}")
        return self._judged(response, answer)

    def _judged(self, response: httpx.Response, answer: bytes) -> DeliveryError | None:
        status = response.status_code
        if 200 <= status < 300:
            return None
        text = self._public(answer.decode("utf-8", "replace"))
        told = f"{self.where} answered {status}{f': {text}' if text else ''}"
        if 300 <= status < 400:
            return PermanentError(f"{told} (redirects are not followed: set the URL that is meant)")
        if status in _TEMPORARY or status >= 500:
            return TemporaryError(told, _after_s(response.headers))
        return PermanentError(told)

    def _too_late(self) -> TemporaryError:
        return TemporaryError(f"{self.where} gave no complete answer within {self._timeout_s:g} s")

    def _public(self, text: str) -> str:
        """The beginning, in one line; an answer may repeat what it was sent, so secrets are taken out."""
        return plain(self._hidden.sub("***", text), _ANSWER_CHARS)


def host_of(handler: str, url: str) -> str:
    """The host of an http or https URL, in lower case, as it is looked up; raises `ConfigError` for another."""
    return _parsed(handler, url).raw_host.decode("ascii").lower().rstrip(".")


def _parsed(handler: str, url: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
        # What no resolver takes is an error only when it is looked up, and then not one of the network.
        parsed.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host or not 0 < (parsed.port or 80) < 2**16:
        raise ConfigError(f"handler {handler!r}: its URL must be http or https, such as https://example.com/hook")
    return parsed


def _below(url: _Hidden, directory: str) -> _Hidden:
    if not directory:
        return url
    path, question, query = url.raw_path.decode("ascii").partition("?")
    parent, _, last = path.rpartition("/")
    return _Hidden(url.copy_with(raw_path=f"{parent}/{directory}/{last}{question}{query}".encode("ascii")))


def _secrets_of(url: httpx.URL, given: str, others: Sequence[str]) -> list[str]:
    """What must not be told."""
    target = url.raw_path.decode("ascii")
    path, _, query = target.partition("?")
    found = {given, target, path, query, url.password, *others}
    parts = [*path.split("/"), *(value for _, value in parse_qsl(query)), url.username]
    if url.userinfo:
        # As the header has it.
        found.add(b64encode(f"{url.username}:{url.password}".encode()).decode("ascii"))
        parts.append(url.userinfo.decode("ascii"))
    found |= {each for each in parts if len(each) >= SECRET_CHARS_MIN}
    found |= {unquote(each) for each in found}
    return sorted(found - {"", "/"})


def _pattern(secrets: Sequence[str]) -> re.Pattern[str]:
    """Finds each of them in upper or lower case, as it is, and escaped for JSON, HTML or a URL."""
    forms = {form for each in secrets for form in _forms(each)}
    # The longest first, so that no part of one is left.
    return re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE)


def _forms(secret: str) -> Iterator[str]:
    yield secret
    for is_ascii in (True, False):
        escaped = json.dumps(secret, ensure_ascii=is_ascii)[1:-1]
        yield escaped
        yield escaped.replace("/", r"\/")
    escaped = html.escape(secret)
    yield escaped
    yield escaped.replace("&#x27;", "&#39;").replace("&quot;", "&#34;")
    yield html.escape(secret, quote=False)
    yield quote(secret)
    yield quote(secret, safe="")
    yield quote_plus(secret)


def _is_temporary(found: Sequence[DeliveryError | None]) -> bool:
    return bool(found) and isinstance(found[-1], TemporaryError)


async def _start_of(response: httpx.Response) -> bytes:
    answer = bytearray()
    async for chunk in response.aiter_raw():
        answer += chunk
        if len(answer) >= _ANSWER_BYTES:
            break
    return bytes(answer[:_ANSWER_BYTES])


def _after_s(headers: httpx.Headers) -> float | None:
    """How long the answer asks to wait; a date is by its own clock, since ours may be another."""
    asked = headers.get("Retry-After", "").strip()
    if re.fullmatch("[0-9]+", asked):
        return float(asked)
    until, now = _date(asked), _date(headers.get("Date", "")) or datetime.now(UTC)
    return None if until is None else max((until - now).total_seconds(), 0.0)


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
