"""What is never sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamguard
from streamguard.errors import ConfigError
from streamguard.fingerprints.facts import VARIABLES, variables
from streamguard.fingerprints.secrets import harmless, is_secret

SECRET = "hunter2-Xy"  # noqa: S105 - the one that must not be found
VALUES = [
    f"postgresql://model:{SECRET}@db:5432/features",
    f"redis://:{SECRET}@cache",
    f"https://u:a/{SECRET}@host/path?x=1",
    f"model:{SECRET}@db",
    f"Authorization: Bearer {SECRET}",
    f"--token={SECRET} --size=3",
    f"https://bucket/x?X-Amz-Signature={SECRET}",
    f"password: {SECRET}",
    "-----BEGIN RSA PRIVATE KEY-----\nhunter2-Xy",
    "eyJhbGciOiJIUzI1NiJ9.hunter2-Xy",
    "AKIAIOSFODNN7EXAMPLE hunter2-Xy",
    "ghp_hunter2-Xyhunter2-Xy",
]


@pytest.mark.parametrize("value", VALUES)
def test_values_that_look_like_secrets_are_hidden(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of variables that are sent."""
    assert SECRET not in harmless(value)
    monkeypatch.setenv("FEATURE_STORE", value)
    assert SECRET not in str(variables(["FEATURE_STORE"]))


@pytest.mark.parametrize("value", ["0,1", "4", "--xla_gpu_autotune_level=2", "http://db:5432/x", "16 GiB", "a@b", ""])
def test_other_values_stay(value: str) -> None:
    """As they are."""
    assert harmless(value) == value


@pytest.mark.parametrize(
    "name", ["DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "hf_token", "API_KEY", "APIKEY", "GOOGLE_APPLICATION_CREDENTIALS"]
)
def test_names_of_secrets_are_refused(name: str) -> None:
    """With the name, before anything is sent."""
    with pytest.raises(ConfigError, match=f"variable {name!r} is never sent"):
        streamguard.fingerprint(sink=print, variables=[name])
    with pytest.raises(ConfigError, match=f"fact {name!r} is never sent"):
        streamguard.fingerprint(sink=print, facts={name: "x"})


def test_patterns_pass_over_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """`TF_*` does not send `TF_API_TOKEN`."""
    monkeypatch.setenv("TF_API_TOKEN", SECRET)
    monkeypatch.setenv("TF_DETERMINISTIC_OPS", "1")
    found = variables(["TF_*", "*"])
    assert found["TF_DETERMINISTIC_OPS"] == "1"
    assert SECRET not in str(found)


def test_the_default_has_no_secret() -> None:
    """The tokenizers' switch is none, though its name has the word."""
    assert [name for name in VARIABLES if is_secret(name)] == []
    assert is_secret("TOKENIZER_TOKEN")


@given(st.text(max_size=50), st.text(st.characters(exclude_categories=["Z", "C"]), min_size=8, max_size=12))
def test_what_stands_before_the_at_of_a_url_is_never_sent(before: str, password: str) -> None:
    """Whatever characters it is of."""
    assert f":{password}@" not in harmless(f"{before} amqp://user:{password}@host")
