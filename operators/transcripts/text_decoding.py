"""Decoding of a file's bytes: UTF-8 or UTF-16. A file in UTF-16 without a byte order mark shows by its null bytes."""

from __future__ import annotations

import codecs

from operators.errors import InvalidInputError

_ENCODINGS_BY_BOM = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, None),  # Begins as UTF-16 does.
    (codecs.BOM_UTF32_BE, None),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UTF_16 = ("utf-16-le", "utf-16-be")
_MIN_BREAK_SHARE = 20
"""In UTF-16 at least one in this many line feed bytes is a line break. The others are halves of characters."""
_FIX = "must be text in UTF-8, or in UTF-16 with a byte order mark: save the file as such"


def decode_text(content: bytes, name: str) -> str:
    """Decode a file's content, without its byte order mark.

    Args:
        content: the file's content.
        name: the file's name, for the error.

    Raises:
        InvalidInputError: the content is in another encoding. The error names the line.
    """
    marked = ((mark, encoding) for mark, encoding in _ENCODINGS_BY_BOM if content.startswith(mark))
    bom, encoding = next(marked, None) or (b"", _encoding_without_mark(content))
    if encoding is None:
        raise InvalidInputError(f"{name}: line 1", _FIX)
    try:
        text = content[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content[len(bom) : len(bom) + error.start].decode(encoding, errors="replace").count("\n") + 1
        raise InvalidInputError(f"{name}: line {line}", _FIX) from error
    # UTF-32 without a byte order mark is valid UTF-8 and UTF-16, full of null characters.
    if text.count("\0") * 4 > len(text):
        raise InvalidInputError(f"{name}: line 1", _FIX)
    return text


def _encoding_without_mark(content: bytes) -> str:
    """Return the encoding of a file without a byte order mark.

    In UTF-16 a line break and a Latin letter are a null byte and another byte. Which of them is first shows the byte order.
    """
    if 0 not in content:
        return "utf-8"
    breaks = {encoding: content.decode(encoding, errors="replace").count("\n") for encoding in _UTF_16}
    encoding = max(breaks, key=breaks.__getitem__)
    if breaks[encoding] * _MIN_BREAK_SHARE > content.count(b"\n"):
        return encoding
    nulls_first, nulls_second = content[::2].count(0), content[1::2].count(0)
    if (nulls_first + nulls_second) * 4 <= len(content):
        return "utf-8"
    return "utf-16-le" if nulls_second > nulls_first else "utf-16-be"
