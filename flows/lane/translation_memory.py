"""What was shown of a lane's translations: it goes along with later requests, so that answers go on as they began."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Set
from dataclasses import replace

from operators.context import quote
from operators.translation import CaptionStatus, Translate, Translation, TranslationRequest
from storage.captions import Shown

MAX_TRANSLATIONS = 20_000
"""Translations a lane remembers."""


class TranslationMemory:
    """A translation service that is told with each request how the sentences before it were translated, and an earlier revision.

    It is only remembered: what is forgotten isn't quoted. Captions and drafts ask from threads of their own.

    Args:
        translate: the translation service.
    """

    def __init__(self, translate: Translate) -> None:
        self._translate = translate
        self._shown: OrderedDict[tuple[str, str, str], Shown] = OrderedDict()
        self._lock = threading.Lock()

    async def __call__(self, request: TranslationRequest) -> Translation:
        """Ask for a translation, and remember it unless it is a draft's or leaves something in doubt."""
        with self._lock:
            asked = self._with_history(request)
        answer = await self._translate(asked)
        if not request.draft:
            shown = answer.status is CaptionStatus.TRANSLATED and not answer.doubts
            with self._lock:
                self._remember(request, answer.text if shown else None)
        return answer

    def restore(self, meeting_ids: Set[str], shown: Iterable[Shown]) -> None:
        """Take what is stored of meetings in the place of what is remembered of them: another process went on with them."""
        with self._lock:
            for key in [key for key in self._shown if key[0] in meeting_ids]:
                del self._shown[key]
            for one in shown:
                self._put(one)

    def _with_history(self, request: TranslationRequest) -> TranslationRequest:
        known = {one: self._get(request, one.sentence_id) for one in request.context}
        # A translation of what the sentence said once is none of what it says now.
        asked = quote(
            request,
            {one: shown.translation for one, shown in known.items() if shown is not None and shown.source == one.text},
        )
        earlier = self._get(request, request.sentence_id)
        if request.draft or earlier is None or earlier.revision >= request.revision:
            return asked
        return replace(asked, previous=earlier.translation)

    def _get(self, request: TranslationRequest, sentence_id: str) -> Shown | None:
        key = (request.meeting_id, request.language, sentence_id)
        if key not in self._shown:
            return None
        self._shown.move_to_end(key)
        return self._shown[key]

    def _remember(self, request: TranslationRequest, translation: str | None) -> None:
        """Note what is shown now. Where that is nothing to go on with, neither is what was shown before."""
        known = self._get(request, request.sentence_id)
        if known is not None and known.revision > request.revision:
            return
        if translation is None:
            self._shown.pop((request.meeting_id, request.language, request.sentence_id), None)
            return
        asked = request.meeting_id, request.sentence_id, request.language, request.revision, request.text
        self._put(Shown(*asked, translation))

    def _put(self, shown: Shown) -> None:
        self._shown[shown.meeting_id, shown.language, shown.sentence_id] = shown
        if len(self._shown) > MAX_TRANSLATIONS:
            self._shown.popitem(last=False)
