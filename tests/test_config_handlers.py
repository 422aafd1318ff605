"""Handlers in the configuration: what they may be given, and that no secret of theirs is shown."""

from pathlib import Path
from typing import Any

import pytest
import trustme

from streamguard.config import Config, parse, show
from streamguard.config.handlers import WebhookHandler
from streamguard.errors import ConfigError

HOOK = {"name": "it", "type": "webhook", "url": "https://example.com/hook"}
DUTY = {"name": "it", "type": "pagerduty", "routing_key": "key"}
MAIL = {"name": "it", "type": "email", "host": "mail.example.com", "sender": "a@example.com", "to": ["b@example.com"]}


def configured(**settings: Any) -> Config:
    """A configuration with one handler."""
    return parse(
        {
            "log": {"kind": "embedded"},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
            "handlers": [settings],
        }
    )


def problem(**settings: Any) -> str:
    """What is wrong with a handler; one thing."""
    with pytest.raises(ConfigError) as caught:
        configured(**settings)
    (line,) = str(caught.value).splitlines()
    return line.removeprefix("handlers[0].")


def headers(config: Config) -> dict[str, str]:
    """Those of the one handler, as they are sent."""
    (handler,) = config.handlers
    assert isinstance(handler, WebhookHandler)
    return {name: value.get_secret_value() for name, value in handler.headers.items()}


def test_headers_are_given_or_in_files(tmp_path: Path) -> None:
    """A value is a secret wherever it comes from; what is shown names the file."""
    (tmp_path / "token").write_text("Bearer hunter2\n", encoding="utf-8")
    files = {"Authorization": str(tmp_path / "token")}
    config = configured(**HOOK, headers={"X-Team": "hunter3"}, header_files=files)
    assert headers(config) == {"X-Team": "hunter3", "Authorization": "Bearer hunter2"}
    for text in (repr(config), str(config), show(config), config.model_dump_json()):
        assert "hunter" not in text
    assert "X-Team: '********'" in show(config)
    again = configured(**{**config.model_dump(mode="json", by_alias=True)["handlers"][0], "url": HOOK["url"]})
    assert headers(again) == {"X-Team": "********", "Authorization": "Bearer hunter2"}


@pytest.mark.parametrize(
    "name",
    ["Host", "content-length", "Content-Type", "CE-Id", "ce-source", "X-Streamguard-Signature", "Idempotency-Key"],
)
def test_headers_of_ours_are_refused(name: str) -> None:
    """And those that say where the body ends, or whom it is for."""
    for setting, value in (("headers", "x"), ("header_files", "/dev/null")):
        assert problem(**HOOK, **{setting: {name: value}}).startswith(
            f"{setting}.{name} is written by streamguard itself or tells a server how to read the rest"
        )


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\nb", "\u00e4", "a\0"])
def test_names_of_headers_are_names(name: str) -> None:
    """No header begins within another."""
    with pytest.raises(ConfigError, match="is no name of a header"):
        configured(**HOOK, headers={name: "x"})


@pytest.mark.parametrize("value", ["", " hunter2", "hunter2 ", "hunter2\r\nHost: evil", "hunter2\0", "hunter2\u00e4"])
def test_values_of_headers_are_one_line(value: str) -> None:
    """What is wrong with one is told without it."""
    told = problem(**HOOK, headers={"X-Key": value})
    assert told.startswith("headers cannot be sent: X-Key must be printable ASCII in one line")
    assert "hunter2" not in told


def test_a_header_is_given_once(tmp_path: Path) -> None:
    """Whatever its case, and not here and in a file."""
    (tmp_path / "key").write_text("hunter2")
    told = problem(**HOOK, headers={"X-Key": "a"}, header_files={"X-Key": str(tmp_path / "key")})
    assert told == "headers and header_files both set X-Key; keep one"
    assert "are the same to a server" in problem(**HOOK, headers={"X-Key": "a", "x-key": "b"})


def test_a_login_comes_one_way() -> None:
    """Of two the header would be lost."""
    hook = {**HOOK, "url": "https://us:hunter2@example.com/"}
    told = problem(**hook, headers={"authorization": "Bearer x"})
    assert told == "headers (handler 'it') has Authorization, and url has a user name; keep one"


@pytest.mark.parametrize("setting", ["url_file", "secret_file", "header_files"])
def test_a_secret_that_is_no_text_is_not_shown(tmp_path: Path, setting: str) -> None:
    """Nor a byte of it."""
    path = tmp_path / "secret"
    path.write_bytes(b"hunter2\xff")
    hook = {name: value for name, value in HOOK.items() if (name, setting) != ("url", "url_file")}
    key = f"{setting}.X-Key" if setting == "header_files" else setting
    value = {"X-Key": str(path)} if setting == "header_files" else str(path)
    with pytest.raises(ConfigError) as caught:
        configured(**hook, **{setting: value})
    assert f"handlers[0].{key} must hold UTF-8 text, got other bytes in {str(path)!r}" in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({**HOOK, "url": "ftp://us:hunter2@h/"}, "url is no http or https URL"),
        ({**HOOK, "url": "https://us:hunter2@[h/"}, "url is no http or https URL"),
        ({**HOOK, "url": "https://us:hunter2@\u2100/"}, "url is no http or https URL"),
        ({**DUTY, "url": "ftp://us:hunter2@h/"}, "url is no http or https URL"),
        ({**DUTY, "url": "https://us:hunter2@h/"}, "url has a user name or a password in it"),
        ({**DUTY, "url": "https://hunter2@h/"}, "url has a user name or a password in it"),
        ({**HOOK, "secret": ["hunter2"]}, "secret is no text"),
        ({**HOOK, "secret": 1234567}, "secret is no text: put it in quotes"),
        ({**HOOK, "headers": {"X-Key": 1234567}}, "headers.X-Key is no text: put it in quotes"),
        ({**HOOK, "headers": "Authorization: Bearer hunter2"}, "headers is no mapping: give each header's name and"),
        ({**HOOK, "headers": ["Authorization: Bearer hunter2"]}, "headers is no mapping: give each header's name and"),
        ({**DUTY, "routing_key": 1234567}, "routing_key is no text: put it in quotes"),
        ({**MAIL, "username": "us", "password": 1234567}, "password is no text: put it in quotes"),
    ],
)
def test_a_wrong_secret_is_not_shown(settings: dict[str, Any], told: str) -> None:
    """What is wrong is told where everyone can read it."""
    with pytest.raises(ConfigError) as caught:
        configured(**settings)
    assert f"handlers[0].{told}" in str(caught.value)
    assert not any(secret in str(caught.value) for secret in ("hunter2", "1234567"))


@pytest.mark.parametrize("kind", ["webhook", "slack", "alertmanager"])
def test_a_url_with_a_password_is_not_shown(kind: str) -> None:
    """By no way out."""
    config = configured(name="it", type=kind, url="https://us:hunter2@example.com/")
    for text in (repr(config), str(config), show(config), config.model_dump_json()):
        assert "hunter2" not in text


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A certificate of nobody's."""
    path = tmp_path / "ca.pem"
    authority = trustme.CA()
    authority.cert_pem.write_to_path(path)
    authority.private_key_pem.write_to_path(tmp_path / "key.pem")
    return path


def test_authorities_are_looked_at_at_once(authority: Path) -> None:
    """A file that is not there, or holds something else, is told by its name."""
    for handler in (HOOK, {**HOOK, "type": "slack"}, {**HOOK, "type": "alertmanager"}, DUTY, MAIL):
        configured(**handler, ca_file=str(authority))
        assert problem(**handler, ca_file="/nowhere/ca.pem") == (
            "ca_file cannot be read: '/nowhere/ca.pem': No such file or directory"
        )
        for name in ("key.pem", "empty.pem", "cut.pem"):
            path = authority.parent / name
            if name != "key.pem":
                path.write_bytes(authority.read_bytes()[: 200 if name == "cut.pem" else 0])
            assert problem(**handler, ca_file=str(path)) == (
                f"ca_file has no certificate in it: {str(path)!r} must be a PEM file of the authorities to trust"
            )


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({**HOOK, "url": "http://h/"}, "is set, but url does not encrypt; did you mean https?"),
        ({**DUTY, "url": "http://h/"}, "is set, but url does not encrypt; did you mean https?"),
        ({**MAIL, "tls": "none"}, "is set, but tls is none; did you mean starttls?"),
    ],
)
def test_authorities_are_of_use(settings: dict[str, Any], told: str, authority: Path) -> None:
    """Or somebody believes in an encryption that there is not."""
    assert problem(**settings, ca_file=str(authority)) == f"ca_file (handler 'it') {told}"


LOGIN = {**MAIL, "tls": "none", "username": "us", "password": "hunter2"}


@pytest.mark.parametrize("host", ["mail.example.com", "10.0.0.1", "::", "localhost.example.com", "127.0.0.1.example"])
def test_no_password_goes_out_in_clear_text(host: str) -> None:
    """Anybody on the way could read it."""
    assert problem(**{**LOGIN, "host": host}) == (
        f"tls (handler 'it') is none, and the password would go to {host!r} in clear text: set starttls or tls,"
        " or leave out username and password"
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost", "LOCALHOST."])
def test_a_password_may_go_to_this_machine(host: str) -> None:
    """As to a relay beside it; and mail without a login may be sent anywhere."""
    configured(**{**LOGIN, "host": host})
    configured(**{**MAIL, "tls": "none"})
