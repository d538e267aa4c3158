"""Requests for notes on a part of a meeting, and the responses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from operators.insight_requests import Insight, InsightRequest, InsightRole
from operators.insights.templates import AUTO_NOTE, InsightTemplate, TemplateFacts, default_templates, render_prompts
from operators.language_names import language_name

ANALYSIS_MAX_TOKENS = 1024
"""Maximum length of a note on a user's selection, in tokens."""
NOTE_PROMPT_VERSION = 1
"""Version of the prompt of notes. It is stored with each note."""


@dataclass(frozen=True, slots=True)
class NoteSentence:
    """A sentence that a note rests on, at the revision that the note knows."""

    id: str
    revision: int
    speaker: str
    speaker_id: str | None
    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class NoteRequest:
    """A request for a note.

    Attributes:
        note_id: the note's UUID, as text.
        language: the note's language, as a tag.
        sentences: the sentences in reading order; at least one.
        task: what to write about them; empty for running notes.
    """

    team_id: str
    meeting_id: str
    note_id: str
    language: str
    sentences: tuple[NoteSentence, ...]
    task: str = ""


WriteNote = Callable[[NoteRequest], Awaitable[Insight]]
"""The insight service, as the callers of notes see it. It raises `UnavailableError` for transient failures."""


def note_insight_request(request: NoteRequest, template: InsightTemplate | None = None) -> InsightRequest:
    """Build the request to the insight service.

    Args:
        request: the request. The task of a user takes the place of the template's prompts.
        template: the team's template of running notes; None for the default.
    """
    template = template or default_templates()[AUTO_NOTE]
    instructions, task = render_prompts(
        template, TemplateFacts(speakers=(), duration_s=0, language=language_name(request.language))
    )
    return InsightRequest(
        team_id=request.team_id,
        meeting_id=request.meeting_id,
        role=InsightRole.NOTE,
        instructions="" if request.task else instructions,
        transcript_lines=transcript_lines(request.sentences),
        task=request.task or task,
        language=request.language,
        max_tokens=ANALYSIS_MAX_TOKENS if request.task else template.default_max_tokens,
        temperature=template.default_temperature,
    )


def transcript_lines(sentences: Sequence[NoteSentence]) -> tuple[str, ...]:
    """Return sentences as the lines of a transcript, `speaker: text`."""
    return tuple(f"{sentence.speaker}: {sentence.text}" for sentence in sentences)
