"""The request to connect to a meeting, with the fields of older clients."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from operators.fields import Name, SourceLanguage, Title
from operators.meeting_config import Glossary, MeetingConfig, Style, TargetLanguages
from serve.http.fireflies.client import KeyFields

NO_EFFECT = ("glossary_id", "translation_model", "pause_threshold_ms", "max_buffer_words")
"""Fields of older clients without an equal: terms are sent with the meeting, models and sentence limits are Parley's own."""


class ConnectRequest(KeyFields):
    """A meeting to connect to. `transcript_id` is Fireflies' id of it, as `POST /api/fireflies/meetings` lists it.

    Without languages, glossary, `context_window_size` and `domain`, the meeting has those of the team's account.

    The last six fields are those of older clients. `domain` becomes the style of the translations, and `context_window_size`
    the number of previous sentences in a translation's context. The others are checked, have no effect, and are named in the
    answer's `ignored`.
    """

    transcript_id: Name
    source_language: SourceLanguage | None = None
    target_languages: TargetLanguages | None = None
    glossary: Glossary | None = None
    title: Title | None = None
    domain: Annotated[Style, Field(max_length=100)] | None = None
    context_window_size: Annotated[int, Field(ge=0, le=20)] | None = None
    glossary_id: Name | None = None
    translation_model: Name | None = None
    pause_threshold_ms: Annotated[int, Field(ge=0, le=60_000)] | None = None
    max_buffer_words: Annotated[int, Field(ge=1, le=1_000)] | None = None

    def build_config(self, defaults: MeetingConfig) -> MeetingConfig:
        """Return the config of the meeting.

        Args:
            defaults: the config of the team's account.
        """
        fields: dict[str, Any] = self.model_dump(
            include={"source_language", "target_languages", "glossary"}, exclude_none=True
        )
        if self.context_window_size is not None:
            fields["context_sentences"] = self.context_window_size
        if self.domain:
            fields["style"] = f"with the terms of this field: {self.domain}"
        return MeetingConfig.model_validate(defaults.model_dump() | fields)

    def ignored_fields(self, *, is_new: bool) -> list[str]:
        """Return the names of the request's fields that have no effect.

        Args:
            is_new: whether the session is new. One that was open stays as it is.
        """
        given = self.model_dump(exclude_none=True).keys() - {"transcript_id"}
        return sorted(given & set(NO_EFFECT) if is_new else given)
