"""What handlers call others by: URLs, headers, and the authorities that they trust. Nothing here shows a secret."""

import re
import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

from streamguard.config.secrets import Secret, secret_in
from streamguard.config.types import FileName

# A token of RFC 9110, and a value that no server reads in two ways.
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")
# The body's, the connection's, and ours.
_FIXED = {
    *("accept-encoding", "content-encoding", "content-length", "content-type", "expect", "host"),
    *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
    *("idempotency-key", "x-streamguard-signature"),
}
_FIXED_PREFIX = "ce-"


def http_url(url: str) -> str:
    """The URL; raises `ValueError` for one that is not http or https."""
    try:
        parts = urlsplit(url)
        is_http = parts.scheme in {"http", "https"} and bool(parts.hostname)
    except ValueError:
        is_http = False
    if not is_http:
        # Without the URL itself, which may hold a password.
        raise ValueError("is no http or https URL, such as https://example.com/hook")
    return url


def open_url(url: str) -> str:
    """A URL that may be shown; raises `ValueError` for one with a password, and for one that is not http or https."""
    if has_userinfo(http_url(url)):
        raise ValueError("has a user name or a password in it, and is shown: leave these out, and set routing_key")
    return url


def has_userinfo(url: str) -> bool:
    """Whether a user name or a password is in a legal URL."""
    return "@" in urlsplit(url).netloc


def is_loopback(host: str) -> bool:
    """Whether what is sent to the host stays on this machine, as far as its name tells."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def headers_of(given: Mapping[str, SecretStr], files: Mapping[str, str]) -> dict[str, SecretStr]:
    """All headers, those of files read; raises `ValueError` for a value that cannot be sent, or a name given twice."""
    found = dict(given)
    for name, file in files.items():
        if name in found:
            raise ValueError(f"and header_files both set {name}; keep one")
        found[name] = secret_in(file)
    lower = [name.lower() for name in found]
    for name, value in found.items():
        if lower.count(name.lower()) > 1:
            raise ValueError(f"has {name} twice: upper and lower case are the same to a server; keep one")
        if not _VALUE.fullmatch(value.get_secret_value()):
            raise ValueError(
                f"cannot be sent: {name} must be printable ASCII in one line, not empty, with no space at either end"
            )
    return found


def _header_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("is no name of a header: letters, digits and hyphens, such as X-Team")
    if name.lower() in _FIXED or name.lower().startswith(_FIXED_PREFIX):
        raise ValueError("is written by streamguard itself or tells a server how to read the rest: leave it out")
    return name


def _by_name(value: Any) -> Any:
    if value is None or isinstance(value, dict):
        return value
    # A message about the type alone would be followed by the value.
    raise ValueError("is no mapping: give each header's name and value, such as {X-Team: ml}")


def _authorities(name: str) -> str:
    try:
        count = ssl.create_default_context(cafile=name).cert_store_stats()["x509"]
    except ssl.SSLError:
        count = 0
    if not count:
        raise ValueError(f"has no certificate in it: {name!r} must be a PEM file of the authorities to trust")
    return name


HeaderName = Annotated[str, AfterValidator(_header_name)]
Headers = Annotated[dict[HeaderName, Secret], BeforeValidator(_by_name)]
CaFile = Annotated[FileName, AfterValidator(_authorities)]
