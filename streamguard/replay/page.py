"""A backtest's report as one page of HTML that needs nothing else, neither files nor a network."""

import json
import re
from importlib.resources import files
from typing import Any

_FILES = files("streamguard.replay")
_SLOT = re.compile(r"\{\{(\w+)\}\}")


def render(report: dict[str, Any]) -> str:
    """The whole page of a report of version 1.

    Raises ValueError where a number is not finite: JSON has no word for it.
    """
    parts = {
        "style": _text("page.css"),
        "report": _data(report),
        "script": f"{_text('carried.js')}\n{_text('page.js')}",
    }
    # In one pass: what a report says is never taken for a slot.
    return _SLOT.sub(lambda slot: parts[slot[1]], _text("page.html"))


def _text(name: str) -> str:
    return _FILES.joinpath(name).read_text(encoding="utf-8").rstrip("\n")


def _data(report: dict[str, Any]) -> str:
    """JSON that can end no element and no line of a script, whatever it says."""
    # What is not ASCII is escaped, and so is half a surrogate pair, which UTF-8 could not carry.
    text = json.dumps(report, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
