from __future__ import annotations

from dataclasses import replace

import pytest

from flows.lane import translation_memory as accepted
from flows.lane.translation_memory import TranslationMemory
from operators.translation_requests import CaptionStatus, ContextSentence, Translation, TranslationRequest
from storage.batch_commit.caption_updates import StoredTranslation

REQUEST = TranslationRequest("t", "m", "1.0", 1, "pt", "en", "Yes.")


class RecordingTranslate:
    """Notes what it is asked; answers as it is told to."""

    def __init__(self) -> None:
        self.requests: list[TranslationRequest] = []
        self.answer = Translation(CaptionStatus.TRANSLATED, "Sim.", "test 1")

    async def __call__(self, request: TranslationRequest) -> Translation:
        self.requests.append(request)
        return self.answer


def request_quoting(request: TranslationRequest = REQUEST, text: str = "Yes.") -> TranslationRequest:
    """A request that quotes the sentence of another."""
    return replace(request, sentence_id="2.0", text="No.", context=(ContextSentence(REQUEST.sentence_id, "A", text),))


async def quoted_translation(
    service: RecordingTranslate, memory: TranslationMemory, request: TranslationRequest
) -> str | None:
    await memory(request)
    return service.requests[-1].context[0].translation


async def test_context_goes_along_as_it_was_translated() -> None:
    service = RecordingTranslate()
    accepted = TranslationMemory(service)
    assert await quoted_translation(service, accepted, request_quoting()) is None
    assert (await accepted(REQUEST)).text == "Sim."
    assert await quoted_translation(service, accepted, request_quoting()) == "Sim."
    assert await quoted_translation(service, accepted, replace(request_quoting(), is_draft=True)) == "Sim."


async def test_nothing_is_quoted_that_is_another_languages_meetings_or_revisions() -> None:
    service = RecordingTranslate()
    accepted = TranslationMemory(service)
    await accepted(REQUEST)
    for other in (
        replace(request_quoting(), language="de"),
        replace(request_quoting(), meeting_id="n"),
        request_quoting(text="Yes, indeed."),
    ):
        assert await quoted_translation(service, accepted, other) is None


@pytest.mark.parametrize(
    "answer",
    [
        Translation(CaptionStatus.SAME, "Yes.", "test 1"),
        Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "no model"),
        Translation(CaptionStatus.TRANSLATED, "Sim.", "test 1", warnings=("a term",)),
    ],
)
async def test_what_is_no_translation_or_in_doubt_is_not_quoted(answer: Translation) -> None:
    service = RecordingTranslate()
    accepted = TranslationMemory(service)
    service.answer = answer
    await accepted(REQUEST)
    assert await quoted_translation(service, accepted, request_quoting()) is None


async def test_a_draft_is_not_remembered_and_keeps_what_is_shown_of_it() -> None:
    service = RecordingTranslate()
    accepted = TranslationMemory(service)
    await accepted(replace(REQUEST, is_draft=True))
    assert await quoted_translation(service, accepted, request_quoting()) is None
    await accepted(REQUEST)
    await accepted(replace(REQUEST, revision=2, is_draft=True, previous_translation="Si"))
    assert service.requests[-1].previous_translation == "Si"


async def test_a_revision_goes_on_from_the_one_before() -> None:
    service = RecordingTranslate()
    accepted = TranslationMemory(service)
    await accepted(REQUEST)
    assert service.requests[-1].previous_translation is None
    await accepted(REQUEST)
    assert service.requests[-1].previous_translation is None, "the same revision again"
    service.answer = replace(service.answer, text="Sim, sim.")
    await accepted(replace(REQUEST, revision=2, text="Yes, yes."))
    assert service.requests[-1].previous_translation == "Sim."
    assert await quoted_translation(service, accepted, request_quoting(text="Yes, yes.")) == "Sim, sim."
    await accepted(REQUEST)
    assert service.requests[-1].previous_translation is None, "an older revision that is late"
    assert await quoted_translation(service, accepted, request_quoting(text="Yes, yes.")) == "Sim, sim."


async def test_a_revision_does_not_go_on_from_one_that_is_shown_no_more() -> None:
    service = RecordingTranslate()
    accepted = TranslationMemory(service)
    await accepted(REQUEST)
    service.answer = replace(service.answer, warnings=("number: 2",))
    await accepted(replace(REQUEST, revision=2, text="Yes, 2."))
    await accepted(replace(REQUEST, revision=3, text="Yes, 3."))
    assert [request.previous_translation for request in service.requests] == [None, "Sim.", None]


async def test_it_remembers_what_was_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "MAX_TRANSLATIONS", 2)
    service = RecordingTranslate()
    lane = TranslationMemory(service)
    for sentence_id in ("1.0", "3.0"):
        await lane(replace(REQUEST, sentence_id=sentence_id))
    assert await quoted_translation(service, lane, request_quoting()) == "Sim."
    assert await quoted_translation(service, lane, request_quoting()) == "Sim."
    other = replace(request_quoting(), context=(ContextSentence("3.0", "A", "Yes."),))
    assert await quoted_translation(service, lane, other) is None


async def test_what_is_stored_takes_the_place_of_what_was_remembered() -> None:
    service = RecordingTranslate()
    lane = TranslationMemory(service)
    await lane(REQUEST)
    await lane(replace(REQUEST, meeting_id="n"))
    # Another lane had the meeting meanwhile: there it was not translated without a doubt.
    lane.restore({"m"}, [])
    assert await quoted_translation(service, lane, request_quoting()) is None
    assert await quoted_translation(service, lane, replace(request_quoting(), meeting_id="n")) == "Sim."
    lane.restore({"m"}, [StoredTranslation("m", "1.0", "pt", 1, "Yes.", "Pois.")])
    assert await quoted_translation(service, lane, request_quoting()) == "Pois."
    assert await quoted_translation(service, lane, replace(request_quoting(), language="de")) is None
    await lane(replace(REQUEST, revision=2, text="Yes, yes."))
    assert service.requests[-1].previous_translation == "Pois."


async def test_of_more_than_it_remembers_the_last_of_each_meeting_is_recalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "MAX_TRANSLATIONS", 3)
    service = RecordingTranslate()
    lane = TranslationMemory(service)
    await lane(replace(REQUEST, meeting_id="busy"))
    lane.restore(
        {"m", "n"}, [StoredTranslation(meeting, f"{k}.0", "pt", 1, "Yes.", "Sim.") for k in (0, 1) for meeting in "mn"]
    )
    assert await quoted_translation(service, lane, request_quoting()) == "Sim."
    assert await quoted_translation(service, lane, replace(request_quoting(), meeting_id="n")) == "Sim."


async def test_what_was_shown_for_other_words_is_gone_on_from_and_not_quoted() -> None:
    service = RecordingTranslate()
    lane = TranslationMemory(service)
    lane.restore({"m"}, [StoredTranslation("m", "1.0", "pt", 1, None, "Pois.")])
    assert await quoted_translation(service, lane, request_quoting()) is None
    await lane(replace(REQUEST, revision=2, text="Yes, yes."))
    assert service.requests[-1].previous_translation == "Pois."
