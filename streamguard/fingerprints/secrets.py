"""What is never sent: names and values that look like secrets."""

import re

from streamguard.errors import ConfigError

HIDDEN = "(hidden)"

# TOKENIZERS_PARALLELISM is none.
_NAME = re.compile(r"SECRET|PASSW|PASSPHRASE|CREDENTIAL|PRIVATE|KEY|TOKEN(?!IZER)", re.IGNORECASE)
# As far as the last @: a password may hold any of the characters that end one.
_USER = re.compile(r"(?<=://)\S*@")
_VALUE = re.compile(
    r"-----BEGIN "
    r"|\beyJ[\w-]{8,}\.[\w-]+"  # a JSON Web Token
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\b(?:gh[a-z]_|github_pat_|glpat-|hf_|xox[a-z]-|sk-|sk_live_)[\w-]{10,}"
    r"|\bAIza[\w-]{30,}"
    r"|\b[\w.+-]+:[^\s@/]+@[\w.-]+"  # user:password@host
    r"|\b(?:bearer|basic)\s+\S{8,}"
    r"|(?:secret|passw\w*|token|credential\w*|signature|key)\s*[=:]",
    re.IGNORECASE,
)


def is_secret(name: str) -> bool:
    """Whether a variable of this name may hold a secret."""
    return _NAME.search(name) is not None


def refuse(names: list[str], what: str) -> None:
    """Raises `ConfigError` where one of the names says that it is a secret."""
    for name in names:
        if is_secret(name):
            raise ConfigError(f"{what} {name!r} is never sent: by its name it may hold a secret; leave it out")


def harmless(text: str) -> str:
    """The text without what looks like a secret.

    >>> harmless("postgresql://model:hunter2@db:5432/features"), harmless("Bearer abcdefgh12345")
    ('postgresql://(hidden)@db:5432/features', '(hidden)')
    """
    text = _USER.sub(f"{HIDDEN}@", text)
    return HIDDEN if _VALUE.search(text.replace(HIDDEN, "")) else text
