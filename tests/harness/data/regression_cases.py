"""Small transcripts on which Parley failed once, each with the right result."""

from __future__ import annotations

import os
from pathlib import Path

_TESTS = Path(__file__).parents[2]
MODEL_ANSWERS = _TESTS / "cases" / "answers" / "pt.json"
"""What a model answered, and what may become of it."""
PROJECT_TRANSCRIPTS = _TESTS / "cases" / "transcripts"
"""Those that belong to the project."""
EXTERNAL_TRANSCRIPTS = (
    Path(os.environ.get("PARLEY_CASES", _TESTS.parents[1] / "shared" / "data" / "cases")) / "transcripts"
)
"""More of them, beside the checkout, where they are at hand."""
