"""Tests cluster/recordings/glossary_file.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.recordings.glossary_file import read_glossary
from operators.errors import InvalidInputError
from operators.meeting_config import Term


def test_a_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "terms.csv"
    path.write_bytes("\ufeffterm,do_not_translate\r\nAna,yes\r\n".encode())
    assert read_glossary(path) == (Term(term="Ana", do_not_translate=True),)
    path.write_bytes(b"term\n\xff\n")
    with pytest.raises(InvalidInputError, match=r"terms\.csv: must be text in UTF-8"):
        read_glossary(path)
