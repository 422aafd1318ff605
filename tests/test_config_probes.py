"""Probes in the configuration: what they may be given, and that no secret of theirs is shown."""

import re
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from streamguard.config import Config, parse, show
from streamguard.config.probes import ProbeChecks
from streamguard.errors import ConfigError
from streamguard.probing import Target

ONE = {"name": "it", "url": "https://example.com/score"}


def configured(*probes: dict[str, Any], **sections: Any) -> Config:
    """A configuration with these probes."""
    return parse(
        {
            "log": {"kind": "embedded"},
            "join": {"after": "1h"},
            "monitors": [{"name": "m", "threshold": {"max_mismatch_percent": 5}}],
            "probes": list(probes),
            **sections,
        }
    )


def problem(*probes: dict[str, Any]) -> str:
    """What is wrong with them; one thing."""
    with pytest.raises(ConfigError) as caught:
        configured(*probes)
    (line,) = str(caught.value).splitlines()
    return line.removeprefix("probes[0].")


def test_a_name_and_a_url_are_enough() -> None:
    """All else has a default."""
    (probe,) = configured(ONE).probes
    assert (probe.every_ms, probe.timeout_ms, probe.verb, probe.expect.status) == (60_000, 5_000, "GET", (200,))
    (posting,) = configured({**ONE, "body": {"x": 1}}).probes
    assert posting.verb == "POST"
    assert configured().probes == ()


def test_the_page_has_a_configuration(tmp_path: Path) -> None:
    """That of its example, with the secret where there is one."""
    page = (Path(__file__).parents[1] / "docs" / "probes.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    (tmp_path / "scoring").write_text("hunter2", encoding="utf-8")
    found = yaml.safe_load(text.replace("/run/secrets", str(tmp_path)))
    config = configured(*found.pop("probes"), **found)
    assert [each.verb for each in config.probes] == ["POST", "GET"]
    assert config.probe_checks == ProbeChecks()


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """URL and headers; what is shown names the files."""
    (tmp_path / "url").write_text("https://us:hunter2@example.com/hunter3\n", encoding="utf-8")
    (tmp_path / "key").write_text("hunter4\n", encoding="utf-8")
    filed = {"name": "filed", "url_file": str(tmp_path / "url"), "header_files": {"X-Key": str(tmp_path / "key")}}
    given = {"name": "given", "url": "https://example.com/hunter5", "headers": {"Authorization": "hunter6"}}
    config = configured(filed, given)
    assert Target(config.probes[0]).headers["x-key"] == "hunter4"
    for text in (repr(config), str(config), show(config), config.model_dump_json()):
        assert "hunter" not in text
    assert "Authorization: '********'" in show(config)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"url": None}, "url (probe 'it') is missing: set it, url_file, or the variable that wins over it"),
        ({"url": "ftp://hunter2"}, "url is no http or https URL, such as https://example.com/hook"),
        ({"every": "10s", "timeout": "11s"}, "timeout (probe 'it') is longer than every"),
        ({"every": "999ms"}, "every must be >= 1000"),
        ({"url": "http://a", "ca_file": "CA"}, "ca_file (probe 'it') is set, but url does not encrypt"),
        (
            {"url": "https://u:p@a", "headers": {"authorization": "x"}},
            "headers (probe 'it') has Authorization, and url",
        ),
        ({"body": {}, "method": "GET"}, "body (probe 'it') is not sent with GET; did you mean POST?"),
        ({"method": "DELETE"}, "method must be one of GET, HEAD, POST, PUT, OPTIONS, got 'DELETE'"),
        ({"body": 1, "redirects": 1}, "redirects (probe 'it') are followed with GET and HEAD alone, and this is POST"),
        ({"method": "HEAD", "expect": {"fields": {"a": "any"}}}, "expect.fields (probe 'it') cannot be there: HEAD"),
        ({"expect": {"status": 99}}, "expect.status must be HTTP statuses such as 200, got 99"),
        ({"expect": {"status": []}}, "expect.status"),
        ({"expect": {"fields": {"a..b": "any"}}}, "expect.fields.a..b must be a place in the answer, such as"),
        ({"expect": {"fields": {"a": "int"}}}, "expect.fields.a must be any, or some of object, array, string"),
        ({"headers": {"X": "hunter2\n"}}, "headers cannot be sent: X must be printable ASCII in one line"),
        ({"urll": "x"}, "unknown setting probes[0].urll; did you mean probes[0].url?"),
    ],
)
def test_what_is_wrong_is_told(settings: dict[str, Any], told: str, certificate_file: str) -> None:
    """With the probe, and a way out; and without a secret."""
    if settings.get("ca_file"):
        settings = {**settings, "ca_file": certificate_file}
    line = problem({**ONE, **settings})
    assert line.startswith(told)
    assert "hunter2" not in line


@pytest.fixture
def certificate_file(tmp_path: Path) -> str:
    """Of an authority."""
    path = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return str(path)


def test_names_are_unique() -> None:
    """Since results and episodes carry them."""
    with pytest.raises(ConfigError) as caught:
        configured(ONE, ONE)
    assert str(caught.value).splitlines()[0] == "probes[0].name must be unique, but 2 probes are named 'it'"


@pytest.mark.parametrize("url", ["https://a:99999/", "https://\u2024\u2024/", f"https://{'a' * 64}.com"])
def test_a_url_that_nobody_could_call_is_refused(url: str) -> None:
    """Before anything is called, and without showing it."""
    with pytest.raises(ConfigError) as caught:
        Target(configured({**ONE, "url": url}).probes[0])
    assert url not in str(caught.value)


def test_a_proxy_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without showing it."""
    monkeypatch.setenv("https_proxy", "ftp://us:hunter2@proxy")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(ConfigError, match="the proxy that the environment names is no http URL") as caught:
        Target(configured({**ONE, "use_proxy": True}).probes[0])
    assert "hunter2" not in str(caught.value)
