"""flows/lane/translation_memory.py: earlier translations that are attached to later requests."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flows.lane import translation_memory as memory_module
from flows.lane.translation_memory import TranslationMemory
from operators.translation_requests import CaptionStatus, ContextSentence, Translation, TranslationRequest
from storage.batch_commit.caption_updates import StoredTranslation

REQUEST = TranslationRequest("t", "m", "1.0", 1, "pt", "en", "Yes.")


class RecordingTranslate:
    """A translation service that records its requests and returns `answer`."""

    def __init__(self) -> None:
        self.requests: list[TranslationRequest] = []
        self.answer = Translation(CaptionStatus.TRANSLATED, "Sim.", "test 1")

    async def __call__(self, request: TranslationRequest) -> Translation:
        self.requests.append(request)
        return self.answer


def request_quoting(request: TranslationRequest = REQUEST, text: str = "Yes.") -> TranslationRequest:
    """Return a request for another sentence, with the sentence of `REQUEST` as context."""
    return replace(request, sentence_id="2.0", text="No.", context=(ContextSentence(REQUEST.sentence_id, "A", text),))


async def quoted_translation(
    service: RecordingTranslate, memory: TranslationMemory, request: TranslationRequest
) -> str | None:
    await memory(request)
    return service.requests[-1].context[0].translation


async def test_context_sentences_carry_their_translations() -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    assert await quoted_translation(service, memory, request_quoting()) is None
    assert (await memory(REQUEST)).text == "Sim."
    assert await quoted_translation(service, memory, request_quoting()) == "Sim."
    assert await quoted_translation(service, memory, replace(request_quoting(), is_draft=True)) == "Sim."


async def test_translations_of_another_language_meeting_or_revision_are_not_attached() -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    await memory(REQUEST)
    for other in (
        replace(request_quoting(), language="de"),
        replace(request_quoting(), meeting_id="n"),
        request_quoting(text="Yes, indeed."),
    ):
        assert await quoted_translation(service, memory, other) is None


@pytest.mark.parametrize(
    "answer",
    [
        Translation(CaptionStatus.SAME, "Yes.", "test 1"),
        Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "no model"),
        Translation(CaptionStatus.TRANSLATED, "Sim.", "test 1", warnings=("a term",)),
    ],
)
async def test_captions_without_a_translation_or_with_warnings_are_not_attached(answer: Translation) -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    service.answer = answer
    await memory(REQUEST)
    assert await quoted_translation(service, memory, request_quoting()) is None


async def test_a_draft_is_not_remembered_and_keeps_its_previous_translation() -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    await memory(replace(REQUEST, is_draft=True))
    assert await quoted_translation(service, memory, request_quoting()) is None
    await memory(REQUEST)
    await memory(replace(REQUEST, revision=2, is_draft=True, previous_translation="Si"))
    assert service.requests[-1].previous_translation == "Si"


async def test_a_revision_carries_the_previous_translation() -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    await memory(REQUEST)
    assert service.requests[-1].previous_translation is None
    await memory(REQUEST)
    assert service.requests[-1].previous_translation is None, "the same revision again"
    service.answer = replace(service.answer, text="Sim, sim.")
    await memory(replace(REQUEST, revision=2, text="Yes, yes."))
    assert service.requests[-1].previous_translation == "Sim."
    assert await quoted_translation(service, memory, request_quoting(text="Yes, yes.")) == "Sim, sim."
    await memory(REQUEST)
    assert service.requests[-1].previous_translation is None, "an older revision that is late"
    assert await quoted_translation(service, memory, request_quoting(text="Yes, yes.")) == "Sim, sim."


async def test_a_revision_carries_no_translation_of_a_revision_with_warnings() -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    await memory(REQUEST)
    service.answer = replace(service.answer, warnings=("number: 2",))
    await memory(replace(REQUEST, revision=2, text="Yes, 2."))
    await memory(replace(REQUEST, revision=3, text="Yes, 3."))
    assert [request.previous_translation for request in service.requests] == [None, "Sim.", None]


async def test_the_least_recently_used_translation_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "MAX_TRANSLATIONS", 2)
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    for sentence_id in ("1.0", "3.0"):
        await memory(replace(REQUEST, sentence_id=sentence_id))
    assert await quoted_translation(service, memory, request_quoting()) == "Sim."
    assert await quoted_translation(service, memory, request_quoting()) == "Sim."
    other = replace(request_quoting(), context=(ContextSentence("3.0", "A", "Yes."),))
    assert await quoted_translation(service, memory, other) is None


async def test_stored_translations_replace_remembered_ones() -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    await memory(REQUEST)
    await memory(replace(REQUEST, meeting_id="n"))
    # Another lane had the meeting meanwhile, and its translation has warnings.
    memory.restore({"m"}, [])
    assert await quoted_translation(service, memory, request_quoting()) is None
    assert await quoted_translation(service, memory, replace(request_quoting(), meeting_id="n")) == "Sim."
    memory.restore({"m"}, [StoredTranslation("m", "1.0", "pt", 1, "Yes.", "Pois.")])
    assert await quoted_translation(service, memory, request_quoting()) == "Pois."
    assert await quoted_translation(service, memory, replace(request_quoting(), language="de")) is None
    await memory(replace(REQUEST, revision=2, text="Yes, yes."))
    assert service.requests[-1].previous_translation == "Pois."


async def test_a_restore_beyond_the_capacity_keeps_the_last_translation_of_each_meeting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory_module, "MAX_TRANSLATIONS", 3)
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    await memory(replace(REQUEST, meeting_id="busy"))
    memory.restore(
        {"m", "n"}, [StoredTranslation(meeting, f"{k}.0", "pt", 1, "Yes.", "Sim.") for k in (0, 1) for meeting in "mn"]
    )
    assert await quoted_translation(service, memory, request_quoting()) == "Sim."
    assert await quoted_translation(service, memory, replace(request_quoting(), meeting_id="n")) == "Sim."


async def test_a_translation_of_an_older_text_is_carried_as_previous_and_not_attached() -> None:
    service = RecordingTranslate()
    memory = TranslationMemory(service)
    memory.restore({"m"}, [StoredTranslation("m", "1.0", "pt", 1, None, "Pois.")])
    assert await quoted_translation(service, memory, request_quoting()) is None
    await memory(replace(REQUEST, revision=2, text="Yes, yes."))
    assert service.requests[-1].previous_translation == "Pois."
