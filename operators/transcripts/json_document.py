"""Reading of JSON documents: the list of their entries, wherever it is, with its path."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, cast

from operators.errors import InvalidInputError

_WRAPPERS = ("data", "transcript", "transcripts", "sentences", "transcriptEntries", "entries")
"""Keys below which sources put the entries, the outermost first."""
_MAX_WRAPPERS = 4


@dataclass(frozen=True, slots=True)
class EntryList:
    """The entries of a JSON document.

    Attributes:
        path: the list's path in the document; empty if the document is the list.
        entries: the entries, of any JSON type.
        owner: the object that has the list; empty if the document is the list.
    """

    path: str
    entries: list[Any]
    owner: dict[str, Any] = field(default_factory=dict[str, Any])

    def path_of(self, index: int) -> str:
        """Return the path of an entry."""
        return f"{self.path}.{index}" if self.path else str(index)

    def objects(self) -> list[dict[str, Any]]:
        """Return the entries that are objects."""
        return [cast("dict[str, Any]", entry) for entry in self.entries if isinstance(entry, dict)]


def load_json(text: str, name: str, *, line: int = 1) -> Any:
    """Parse JSON.

    Args:
        text: the JSON.
        name: the file's name, for the error.
        line: number of the text's first line in the file.

    Raises:
        InvalidInputError: the text is not JSON, or is nested too deeply. The error names the line.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        number = line + error.lineno - 1
        raise InvalidInputError(
            f"{name}:{number}", "must be a JSON object on one line, or a part of one complete JSON document"
        ) from None
    except (ValueError, RecursionError):
        raise InvalidInputError(f"{name}:{line}", "must be JSON with short numbers and few levels") from None


def find_entries(document: Any) -> EntryList | None:
    """Find the list of entries of a document: the document itself, or a list below known keys. None if there is none."""
    path: list[str] = []
    value: Any = document
    owner: dict[str, Any] = {}
    for _ in range(_MAX_WRAPPERS):
        if not isinstance(value, dict):
            break
        owner = cast("dict[str, Any]", value)
        key = next((key for key in _WRAPPERS if isinstance(owner.get(key), (dict, list))), None)
        if key is None:
            return None
        path.append(key)
        value = owner[key]
    return EntryList(".".join(path), cast("list[Any]", value), owner) if isinstance(value, list) else None
