"""YAML in and out: what a file says, and on which line it says it.

Plain words are read by the rules of YAML 1.2: PyYAML follows 1.1, where a country `NO` is false, `010` is 8
and `1e-3` is text. Tags are refused, and so is a key that stands twice, which PyYAML would let the last win.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from streamguard.config.base import Key
from streamguard.errors import ConfigError

_TAG = "tag:yaml.org,2002:"
_PLAIN = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
    ("null", r"~|null|Null|NULL|", "~nN\0"),
    ("merge", r"<<", "<"),
)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  PyYAML's own, by class


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, list[Any]] = {}  # noqa: RUF012  the same, so that text stays text

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
        super().increase_indent(flow, indentless=False)


for _name, _pattern, _first in _PLAIN:
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(_TAG + _name, re.compile(f"(?:{_pattern})$"), list(_first.replace("\0", "")))
for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(_TAG + "null", re.compile("$"), [""])


_DIGITS_MAX = 100


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = str(loader.construct_scalar(node))
    # Python reads no longer ones, and no setting is that large.
    return int(text[:_DIGITS_MAX])


_Loader.add_constructor(_TAG + "int", _decimal)


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says. `lines` holds the line (from 1) of every key that stands in it."""

    data: Any
    lines: dict[Key, int] = field(default_factory=dict)


def read(path: Path, text: str | None = None) -> Document:
    """The file's content, or the text in its stead; raises `ConfigError` where it is no YAML."""
    try:
        text = path.read_text(encoding="utf-8") if text is None else text
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text: byte {error.start}") from None
    try:
        return _document(text, str(path))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise ConfigError(f"{where}: not valid YAML: {_without_content(error)}") from None
    except yaml.reader.ReaderError as error:
        raise ConfigError(f"{path}: not valid YAML: character U+{error.character:04X}, {error.reason}") from None
    except RecursionError:
        raise ConfigError(f"{path}: not valid YAML: nested too deeply") from None


def dump(data: Any) -> str:
    """YAML that `read` reads as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def _document(text: str, name: str) -> Document:
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            raise ConfigError(f"{name}: the file is empty; start from a file in configs/")
        lines: dict[Key, int] = {}
        if problems := list(_survey(loader, root, (), lines, set())):
            raise ConfigError("\n".join(f"{name}:{line}: {problem}" for line, problem in problems))
        return Document(loader.construct_document(root), lines)
    finally:
        loader.dispose()


def _survey(
    loader: _Loader, node: yaml.Node, key: Key, lines: dict[Key, int], seen: set[int]
) -> Iterator[tuple[int, str]]:
    """Note the lines of all keys, and find what YAML allows and a configuration does not."""
    if id(node) in seen:  # An alias: looked at where it was defined, and possibly inside itself.
        return
    seen.add(id(node))
    lines.setdefault(key, node.start_mark.line + 1)
    implicit = (True, False) if isinstance(node, yaml.ScalarNode) else True
    plain = loader.resolve(type(node), node.value, implicit)  # type: ignore[no-untyped-call]
    if node.tag not in {plain, _TAG + "str"}:
        yield node.start_mark.line + 1, "tags are not used here; quote text that starts with '!'"
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _survey(loader, item, (*key, index), lines, seen)
    elif isinstance(node, yaml.MappingNode):
        yield from _survey_mapping(loader, node, key, lines, seen)


def _survey_mapping(
    loader: _Loader, node: yaml.MappingNode, key: Key, lines: dict[Key, int], seen: set[int]
) -> Iterator[tuple[int, str]]:
    for name, value in node.value:
        line = name.start_mark.line + 1
        if name.tag == _TAG + "merge":
            yield from _survey(loader, value, key, lines, seen)
            continue
        if name.tag != _TAG + "str":
            yield line, "a key must be text; put it in quotes"
            continue
        here = (*key, name.value)
        if here in lines:
            yield line, f"{dotted(here)} stands twice, first on line {lines[here]}"
            continue
        lines[here] = line
        yield from _survey(loader, value, here, lines, seen)


def _without_content(error: yaml.MarkedYAMLError) -> str:
    """PyYAML's words, unless they quote the file: what it quotes may be half of a password."""
    if isinstance(error, yaml.composer.ComposerError) and "undefined alias" in str(error.problem):
        return "an alias that is defined nowhere; quote text that starts with '*'"
    return str(error.problem)


def dotted(key: Key) -> str:
    """The key as people write it: `monitors[0].name`."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")
