from __future__ import annotations

from dataclasses import replace

import pytest

from flows.lane import translation_memory as accepted
from flows.lane.translation_memory import TranslationMemory
from operators.translation import CaptionStatus, Quoted, Translation, TranslationRequest
from storage.captions import Shown

ASKED = TranslationRequest("t", "m", "1.0", 1, "pt", "en", "Yes.")


class Service:
    """Notes what it is asked; answers as it is told to."""

    def __init__(self) -> None:
        self.asked: list[TranslationRequest] = []
        self.answer = Translation(CaptionStatus.TRANSLATED, "Sim.", "test 1")

    async def __call__(self, request: TranslationRequest) -> Translation:
        self.asked.append(request)
        return self.answer


def after(request: TranslationRequest = ASKED, text: str = "Yes.") -> TranslationRequest:
    """A request that quotes the sentence of another."""
    return replace(request, sentence_id="2.0", text="No.", context=(Quoted(ASKED.sentence_id, "A", text),))


async def quoted(service: Service, accepted: TranslationMemory, request: TranslationRequest) -> str | None:
    await accepted(request)
    return service.asked[-1].context[0].translation


async def test_context_goes_along_as_it_was_translated() -> None:
    service = Service()
    accepted = TranslationMemory(service)
    assert await quoted(service, accepted, after()) is None
    assert (await accepted(ASKED)).text == "Sim."
    assert await quoted(service, accepted, after()) == "Sim."
    assert await quoted(service, accepted, replace(after(), draft=True)) == "Sim."


async def test_nothing_is_quoted_that_is_another_languages_meetings_or_revisions() -> None:
    service = Service()
    accepted = TranslationMemory(service)
    await accepted(ASKED)
    for other in (
        replace(after(), language="de"),
        replace(after(), meeting_id="n"),
        after(text="Yes, indeed."),
    ):
        assert await quoted(service, accepted, other) is None


@pytest.mark.parametrize(
    "answer",
    [
        Translation(CaptionStatus.SAME, "Yes.", "test 1"),
        Translation(CaptionStatus.UNTRANSLATED, None, "test 1", "no model"),
        Translation(CaptionStatus.TRANSLATED, "Sim.", "test 1", warnings=("a term",)),
    ],
)
async def test_what_is_no_translation_or_in_doubt_is_not_quoted(answer: Translation) -> None:
    service = Service()
    accepted = TranslationMemory(service)
    service.answer = answer
    await accepted(ASKED)
    assert await quoted(service, accepted, after()) is None


async def test_a_draft_is_not_remembered_and_keeps_what_is_shown_of_it() -> None:
    service = Service()
    accepted = TranslationMemory(service)
    await accepted(replace(ASKED, draft=True))
    assert await quoted(service, accepted, after()) is None
    await accepted(ASKED)
    await accepted(replace(ASKED, revision=2, draft=True, previous="Si"))
    assert service.asked[-1].previous == "Si"


async def test_a_revision_goes_on_from_the_one_before() -> None:
    service = Service()
    accepted = TranslationMemory(service)
    await accepted(ASKED)
    assert service.asked[-1].previous is None
    await accepted(ASKED)
    assert service.asked[-1].previous is None, "the same revision again"
    service.answer = replace(service.answer, text="Sim, sim.")
    await accepted(replace(ASKED, revision=2, text="Yes, yes."))
    assert service.asked[-1].previous == "Sim."
    assert await quoted(service, accepted, after(text="Yes, yes.")) == "Sim, sim."
    await accepted(ASKED)
    assert service.asked[-1].previous is None, "an older revision that is late"
    assert await quoted(service, accepted, after(text="Yes, yes.")) == "Sim, sim."


async def test_a_revision_does_not_go_on_from_one_that_is_shown_no_more() -> None:
    service = Service()
    accepted = TranslationMemory(service)
    await accepted(ASKED)
    service.answer = replace(service.answer, warnings=("number: 2",))
    await accepted(replace(ASKED, revision=2, text="Yes, 2."))
    await accepted(replace(ASKED, revision=3, text="Yes, 3."))
    assert [request.previous for request in service.asked] == [None, "Sim.", None]


async def test_it_remembers_what_was_used_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "MAX_TRANSLATIONS", 2)
    service = Service()
    lane = TranslationMemory(service)
    for sentence_id in ("1.0", "3.0"):
        await lane(replace(ASKED, sentence_id=sentence_id))
    assert await quoted(service, lane, after()) == "Sim."
    assert await quoted(service, lane, after()) == "Sim."
    other = replace(after(), context=(Quoted("3.0", "A", "Yes."),))
    assert await quoted(service, lane, other) is None


async def test_what_is_stored_takes_the_place_of_what_was_remembered() -> None:
    service = Service()
    lane = TranslationMemory(service)
    await lane(ASKED)
    await lane(replace(ASKED, meeting_id="n"))
    # Another lane had the meeting meanwhile: there it was not translated without a doubt.
    lane.restore({"m"}, [])
    assert await quoted(service, lane, after()) is None
    assert await quoted(service, lane, replace(after(), meeting_id="n")) == "Sim."
    lane.restore({"m"}, [Shown("m", "1.0", "pt", 1, "Yes.", "Pois.")])
    assert await quoted(service, lane, after()) == "Pois."
    assert await quoted(service, lane, replace(after(), language="de")) is None
    await lane(replace(ASKED, revision=2, text="Yes, yes."))
    assert service.asked[-1].previous == "Pois."


async def test_of_more_than_it_remembers_the_last_of_each_meeting_is_recalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepted, "MAX_TRANSLATIONS", 3)
    service = Service()
    lane = TranslationMemory(service)
    await lane(replace(ASKED, meeting_id="busy"))
    lane.restore({"m", "n"}, [Shown(meeting, f"{k}.0", "pt", 1, "Yes.", "Sim.") for k in (0, 1) for meeting in "mn"])
    assert await quoted(service, lane, after()) == "Sim."
    assert await quoted(service, lane, replace(after(), meeting_id="n")) == "Sim."


async def test_what_was_shown_for_other_words_is_gone_on_from_and_not_quoted() -> None:
    service = Service()
    lane = TranslationMemory(service)
    lane.restore({"m"}, [Shown("m", "1.0", "pt", 1, None, "Pois.")])
    assert await quoted(service, lane, after()) is None
    await lane(replace(ASKED, revision=2, text="Yes, yes."))
    assert service.asked[-1].previous == "Pois."
