"""What is called: everything of a configured probe that is made once."""

import ssl
from base64 import b64encode
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

import httpx
import orjson

from streamguard.config.probes import Probe
from streamguard.errors import ConfigError

_HEADERS = {
    "User-Agent": "streamguard",
    "Accept": "application/json, */*",
    # Nothing is unpacked, so a small answer cannot become a large one.
    "Accept-Encoding": "identity",
    # Each call measures a connection of its own.
    "Connection": "close",
}


class Target:
    """A probe that can be called, from any thread.

    Raises `ConfigError` for a URL that nobody could call, and for a proxy that is none.
    """

    def __init__(self, settings: Probe) -> None:
        self.settings = settings
        self.url = _url(settings)
        self.headers = _headers(settings, self.url)
        self.body = None if settings.body is None else orjson.dumps(settings.body)
        self.proxy = _proxy(settings, self.url)
        # Made once: reading the certificates takes longer than a call.
        self.tls = _tls(settings.ca_file)
        port = self.url.port or _port(self.url)
        self.where = f"[{self.url.host}]:{port}" if ":" in self.url.host else f"{self.url.host}:{port}"

    def is_own(self, url: httpx.URL) -> bool:
        """Whether a redirect there leads to the place that is configured, so that secrets may go with it."""
        return (url.scheme, url.host, url.port or _port(url)) == (
            self.url.scheme,
            self.url.host,
            self.url.port or _port(self.url),
        )


def _url(settings: Probe) -> httpx.URL:
    try:
        parsed = httpx.URL("" if settings.url is None else settings.url.get_secret_value())
        # What no resolver takes is an error only when it is looked up, and then not one of the network.
        parsed.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        parsed = httpx.URL()
    if parsed.scheme not in {"http", "https"} or not parsed.host or not 0 < (parsed.port or 80) < 2**16:
        raise ConfigError(f"probe {settings.name!r}: its URL must be http or https, such as https://example.com/health")
    return parsed.copy_with(fragment=None)


def _port(url: httpx.URL) -> int:
    return {"http": 80, "https": 443}.get(url.scheme, 0)


def _headers(settings: Probe, url: httpx.URL) -> httpx.Headers:
    headers = httpx.Headers(_HEADERS)
    if settings.body is not None:
        headers["Content-Type"] = "application/json"
    if url.userinfo:
        login = f"{unquote(url.username)}:{unquote(url.password)}".encode()
        headers["Authorization"] = f"Basic {b64encode(login).decode('ascii')}"
    headers.update({name: value.get_secret_value() for name, value in settings.headers.items()})
    return headers


def _tls(ca_file: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context() if ca_file is None else ssl.create_default_context(cafile=ca_file)


def _proxy(settings: Probe, url: httpx.URL) -> httpx.Proxy | None:
    if not settings.use_proxy or proxy_bypass(url.host):
        return None
    named = getproxies()
    found = named.get(url.scheme) or named.get("all")
    if not found:
        return None
    try:
        return httpx.Proxy(found if "://" in found else f"http://{found}")
    except (ValueError, httpx.InvalidURL):
        # Without the URL itself, which may hold a password.
        raise ConfigError(f"probe {settings.name!r}: the proxy that the environment names is no http URL") from None
