"""One call of an endpoint, and the record of what came of it.

httpx's transport is used without its client, which would log the URL, read the environment, and keep cookies. A call
runs in an event loop of its own: so it can be cut at any point, in the middle of a look-up of the host, too.
"""

import asyncio
import re
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from streamguard.core.environment.shapes import hash_of, missing, shape_of
from streamguard.probing import faults
from streamguard.probing.faults import Fault
from streamguard.probing.target import Target

_MEDIA_TYPE = re.compile(r"[a-z0-9!#$&^_.+-]{1,60}/[a-z0-9!#$&^_.+-]{1,60}")
_ISSUER_CHARS = 200
_TOLD_MAX = 5
_FOLLOWED = {301, 302, 303, 307, 308}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Clock:
    """The shell's clock; tests pass their own."""

    now_ms: Callable[[], int] = _now_ms
    """Epoch milliseconds."""
    now_s: Callable[[], float] = time.perf_counter
    """What never goes back; only differences mean something."""


@dataclass(slots=True)
class _Found:
    """What is known of a call, as far as it came."""

    begun_s: float
    phase: str = "connecting"
    connected_s: float | None = None
    first_byte_s: float | None = None
    ended_s: float | None = None
    status: int | None = None
    content_type: str | None = None
    size: int | None = None
    body: bytes = b""
    certificate: dict[str, Any] = field(default_factory=dict)
    location: str = ""
    fault: Fault | None = None
    fields: dict[str, str] | None = None


def probe(target: Target, clock: Clock | None = None) -> dict[str, Any]:
    """Call it once, in the time that it may take, and return the result as probe-1.schema.json has it.

    Never raises for what the other side does. No event loop may run on the thread.
    """
    clock = clock or Clock()
    time_ms = clock.now_ms()
    found = _Found(clock.now_s())
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(_call(target, found, clock))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
    found.ended_s = clock.now_s()
    if found.fault is None:
        _judge(target, found)
    return _record(target, time_ms, found)


async def _call(target: Target, found: _Found, clock: Clock) -> None:
    settings = target.settings
    transport = httpx.AsyncHTTPTransport(verify=target.tls, trust_env=False, proxy=target.proxy)
    try:
        async with asyncio.timeout(settings.timeout_ms / 1000), transport:
            found.begun_s = clock.now_s()
            url, left = target.url, settings.redirects
            while (onward := await _once(target, url, found, clock, transport)) is not None and left:
                url, left = onward, left - 1
    except TimeoutError:
        found.fault = faults.too_late(target.where, found.phase)
    except (httpx.RequestError, httpx.InvalidURL, OSError) as error:
        found.fault = faults.of_error(error, target.where, found.phase)


async def _once(
    target: Target, url: httpx.URL, found: _Found, clock: Clock, transport: httpx.AsyncHTTPTransport
) -> httpx.URL | None:
    """Ask once; returns where an answer redirects to that may be followed."""
    found.phase = "connecting"

    async def trace(event: str, _: Any) -> None:
        if event in {"connection.connect_tcp.complete", "connection.start_tls.complete"}:
            found.connected_s = clock.now_s()
        elif event == "http11.send_request_headers.started":
            found.phase = "waiting"
        elif event == "http11.receive_response_headers.complete":
            found.first_byte_s = clock.now_s()
            found.phase = "reading"

    settings = target.settings
    whole_s = settings.timeout_ms / 1000
    connect_s = whole_s if settings.connect_timeout_ms is None else settings.connect_timeout_ms / 1000
    timeout = httpx.Timeout(whole_s, connect=connect_s).as_dict()
    extensions = {"timeout": timeout, "trace": trace}
    request = httpx.Request(settings.verb, url, headers=target.headers, content=target.body, extensions=extensions)
    response = await transport.handle_async_request(request)
    try:
        found.status = response.status_code
        found.content_type = _media_type(response.headers.get("Content-Type", ""))
        found.location = response.headers.get("Location", "")
        found.certificate = _certificate(response)
        await _read(response, found, settings.max_bytes)
    finally:
        await response.aclose()
    return _onward(target, url, found.status, found.location)


async def _read(response: httpx.Response, found: _Found, bytes_max: int) -> None:
    body = bytearray()
    found.size = 0
    async for chunk in response.aiter_raw():
        body += chunk
        found.size = len(body)
        if found.size > bytes_max:
            break
    found.body = bytes(body)


def _onward(target: Target, url: httpx.URL, status: int, location: str) -> httpx.URL | None:
    if not target.settings.redirects or not location or status not in _FOLLOWED:
        return None
    try:
        onward = url.join(location)
    except (httpx.InvalidURL, ValueError):
        return None
    return onward.copy_with(fragment=None) if target.is_own(onward) else None


def _certificate(response: httpx.Response) -> dict[str, Any]:
    """What the other side has shown, which was found good; empty without TLS."""
    stream = response.extensions.get("network_stream")
    tls = None if stream is None else stream.get_extra_info("ssl_object")
    return (tls.getpeercert() or {}) if isinstance(tls, ssl.SSLObject | ssl.SSLSocket) else {}


def _judge(target: Target, found: _Found) -> None:
    """Whether the answer is a good one; its form is looked at only where the status is as expected."""
    settings = target.settings
    if found.status not in settings.expect.status:
        found.fault = faults.of_status(found.status or 0, found.location, target.where)
        return
    if found.size is not None and found.size > settings.max_bytes:
        found.fault = Fault("size", f"{target.where} answered with more than {settings.max_bytes:,} bytes")
        return
    try:
        value = orjson.loads(found.body)
    except orjson.JSONDecodeError:
        if settings.expect.fields:
            found.fault = Fault("contract", f"{target.where} answered with what is not JSON")
        return
    found.fields = shape_of(value, settings.maps)
    if wrong := missing(found.fields, settings.expect.fields):
        told = [f"{path} {words}" for path, words in wrong.items()]
        more = f", and {len(told) - _TOLD_MAX} more" if len(told) > _TOLD_MAX else ""
        found.fault = Fault("contract", f"in the answer of {target.where} {', '.join(told[:_TOLD_MAX])}{more}")


def _record(target: Target, time_ms: int, found: _Found) -> dict[str, Any]:
    fields, certificate = found.fields, found.certificate

    def after_ms(moment_s: float | None) -> float | None:
        return None if moment_s is None else round((moment_s - found.begun_s) * 1000, 3)

    return {
        "v": 1,
        "type": "probe",
        "time": time_ms,
        "target": target.settings.name,
        "ok": found.fault is None,
        "status": found.status,
        "latency_ms": after_ms(found.ended_s),
        "connect_ms": after_ms(found.connected_s),
        "first_byte_ms": after_ms(found.first_byte_s),
        "size": found.size,
        "content_type": found.content_type,
        "tls_issued": _moment_ms(certificate.get("notBefore")),
        "tls_expires": _moment_ms(certificate.get("notAfter")),
        "tls_issuer": _issuer(certificate),
        "schema": None if fields is None else {"hash": hash_of(fields), "fields": fields},
        "error": None if found.fault is None else found.fault.record(),
    }


def _moment_ms(text: str | None) -> int | None:
    try:
        return None if text is None else int(ssl.cert_time_to_seconds(text)) * 1000
    except ValueError:
        return None


def _issuer(certificate: dict[str, Any]) -> str | None:
    """`O=Example, CN=Example Root`, in one line."""
    parts = [(name, value) for each in certificate.get("issuer", ()) for name, value in each]
    short = {"organizationName": "O", "commonName": "CN"}
    told = ", ".join(f"{short[name]}={value}" for name, value in parts if name in short)
    kept = "".join(each if each.isprintable() else " " for each in told)
    return kept[:_ISSUER_CHARS] or None


def _media_type(header: str) -> str | None:
    kind = header.partition(";")[0].strip().lower()
    return kind if _MEDIA_TYPE.fullmatch(kind) else None
