"""Tokens for SASL OAUTHBEARER, from a token provider such as kafka-python's clients ask."""

import base64
import time

import orjson

from streamguard.logs import token_provider

# librdkafka wants to know when to ask again; a token that does not say is taken for a short one.
_LIFE_S = 300.0

Token = tuple[str, float, str, dict[str, str]]


class TokenSource:
    """Called by librdkafka whenever it needs a new token: at start, and when four fifths of its life are over."""

    def __init__(self, name: str) -> None:
        self._provider = token_provider.load(name)

    def __call__(self, _config: str | None) -> Token:
        """The token, when it ends (epoch seconds), the principal, which brokers take from the token, extensions."""
        token = self._provider.token()
        extensions: dict[str, str] = self._provider.extensions()
        return token, expiry_s(token, time.time() + _LIFE_S), "", extensions


def expiry_s(token: str, otherwise: float) -> float:
    """When a JSON Web Token ends, as it says itself (RFC 7519, section 4.1.4).

    >>> expiry_s("e30.eyJleHAiOjE3MDAwMDAwMDB9.", 0.0)
    1700000000.0
    >>> expiry_s("opaque", 5.0)
    5.0
    """
    try:
        claims = token.split(".")[1]
        return float(orjson.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return otherwise
