"""Recent translations of a lane, attached to later requests as context, so that wording stays consistent."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Set
from dataclasses import replace

from cachetools import LRUCache

from operators.context_window import with_translations
from operators.translation_requests import CaptionStatus, Translate, Translation, TranslationRequest
from storage.batch_commit.caption_updates import StoredTranslation

MAX_TRANSLATIONS = 20_000
"""Translations a lane remembers."""


class TranslationMemory:
    """A translation service that adds earlier translations to each request: of the sentences before, and of the last revision.

    The memory is not stored: a forgotten translation is simply not added. Captions and drafts call from different threads.

    Args:
        translate: the translation service.
    """

    def __init__(self, translate: Translate) -> None:
        self._translate = translate
        self._stored = LRUCache[tuple[str, str, str], StoredTranslation](MAX_TRANSLATIONS)
        self._lock = threading.Lock()

    async def __call__(self, request: TranslationRequest) -> Translation:
        """Translate, and remember the translation unless it is a draft or has quality warnings (`warnings`)."""
        with self._lock:
            extended = self._with_history(request)
        translation = await self._translate(extended)
        if not request.is_draft:
            reusable = translation.status is CaptionStatus.TRANSLATED and not translation.warnings
            with self._lock:
                self._remember(request, translation.text if reusable else None)
        return translation

    def restore(self, meeting_ids: Set[str], translations: Iterable[StoredTranslation]) -> None:
        """Replace what is remembered of meetings by their stored translations: another process may have added some."""
        with self._lock:
            for key in [key for key in self._stored if key[0] in meeting_ids]:
                del self._stored[key]
            for stored in translations:
                self._put(stored)

    def _with_history(self, request: TranslationRequest) -> TranslationRequest:
        known = {sentence: self._get(request, sentence.sentence_id) for sentence in request.context}
        # The translation of an older revision does not fit the sentence's present text.
        extended = with_translations(
            request,
            {
                sentence: shown.translation
                for sentence, shown in known.items()
                if shown is not None and shown.source == sentence.text
            },
        )
        earlier = self._get(request, request.sentence_id)
        if request.is_draft or earlier is None or earlier.revision >= request.revision:
            return extended
        return replace(extended, previous_translation=earlier.translation)

    def _get(self, request: TranslationRequest, sentence_id: str) -> StoredTranslation | None:
        return self._stored.get((request.meeting_id, request.language, sentence_id))

    def _remember(self, request: TranslationRequest, translation: str | None) -> None:
        """Remember a translation. None removes that of an older revision, which must not be reused either."""
        known = self._get(request, request.sentence_id)
        if known is not None and known.revision > request.revision:
            return
        if translation is None:
            self._stored.pop((request.meeting_id, request.language, request.sentence_id), None)
            return
        source = request.meeting_id, request.sentence_id, request.language, request.revision, request.text
        self._put(StoredTranslation(*source, translation))

    def _put(self, translation: StoredTranslation) -> None:
        self._stored[translation.meeting_id, translation.language, translation.sentence_id] = translation
