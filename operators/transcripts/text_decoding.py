"""Decoding of a file's bytes: UTF-8, or UTF-16 with a byte order mark."""

from __future__ import annotations

import codecs

from operators.errors import InvalidInputError

_ENCODINGS_BY_BOM = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, None),  # Begins as UTF-16 does.
    (codecs.BOM_UTF32_BE, None),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (b"", "utf-8"),
)
_FIX = "must be text in UTF-8, or in UTF-16 with a byte order mark: save the file as such"


def decode_text(content: bytes, name: str) -> str:
    """Decode a file's content, without its byte order mark.

    Args:
        content: the file's content.
        name: the file's name, for the error.

    Raises:
        InvalidInputError: the content is in another encoding. The error names the line.
    """
    bom, encoding = next((mark, encoding) for mark, encoding in _ENCODINGS_BY_BOM if content.startswith(mark))
    if encoding is None:
        raise InvalidInputError(f"{name}: line 1", _FIX)
    try:
        text = content[len(bom) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = content[len(bom) : len(bom) + error.start].decode(encoding, errors="replace").count("\n") + 1
        raise InvalidInputError(f"{name}: line {line}", _FIX) from error
    # English text in UTF-16 without a byte order mark is valid UTF-8, full of null characters.
    if text.count("\0") * 4 > len(text):
        raise InvalidInputError(f"{name}: line 1", _FIX)
    return text
