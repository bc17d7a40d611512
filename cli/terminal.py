"""Text of others on the owner's terminal: shown, never obeyed."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import msgspec
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text


def visible(text: str) -> str:
    r"""The text with what could steer a terminal, or turn the direction of writing, escaped as in JSON.

    That is every character of Unicode's categories C (control, format, surrogate, private use, unassigned),
    and the separators of lines and paragraphs.

    >>> print(visible("\x1b[2J caf\u00e9 \u202e \x9b"))
    \u001b[2J café \u202e \u009b
    """
    return "".join(json.dumps(each)[1:-1] if _steers(each) else each for each in text)


def visible_lines(text: str) -> str:
    """The same of a text that may have several lines."""
    return "\n".join(map(visible, text.split("\n")))


def _steers(character: str) -> bool:
    category = unicodedata.category(character)
    return category.startswith("C") or category in ("Zl", "Zp")


def cells(*texts: str) -> list[Text]:
    """A row of a table as it is: its square brackets are no markup."""
    return [Text(visible(text)) for text in texts]


def print_json(value: Any) -> None:
    """Print a value as JSON that can be read back."""
    text = json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False)
    Console().print(JSONHighlighter()(Text(visible_lines(text))), soft_wrap=True)
