"""Paths of the regression cases: small transcripts that Parley once got wrong, each with the right result."""

from __future__ import annotations

import os
from pathlib import Path

_TESTS = Path(__file__).parents[2]
MODEL_ANSWERS = _TESTS / "cases" / "answers" / "pt.json"
"""Answers of a model, each with the allowed results."""
PROJECT_TRANSCRIPTS = _TESTS / "cases" / "transcripts"
"""Transcripts of the project itself."""
EXTERNAL_TRANSCRIPTS = (
    Path(os.environ.get("PARLEY_CASES", _TESTS.parents[1] / "shared" / "data" / "cases")) / "transcripts"
)
"""Further transcripts beside the checkout, if they are available."""
