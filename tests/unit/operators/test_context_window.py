from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from flows.lane.pipeline import STEPS
from operators.context_window import (
    EXTRA_SENTENCES_COUNT,
    MAX_SPEAKERS,
    WindowSentence,
    WindowState,
    step,
    with_translations,
)
from operators.meeting_config import MeetingConfig, Term
from operators.stream import ChunkUpdate, Retraction, Sentence, SentenceBoundary, SentenceChanges
from operators.translation_requests import ContextSentence, GlossaryEntry, TranslationRequest

CONFIG = MeetingConfig(target_languages=("pt", "de"), context_sentences=2, context_of_speaker=0)


def make_sentence(n: int, text: str, *, revision: int = 1, speaker: str = "A", language: str | None = None) -> Sentence:
    return Sentence(
        f"{n}.0", revision, speaker, None, text, float(n), n + 1.0, SentenceBoundary.MARK, language, 0.0, text
    )


def run_context(*done: SentenceChanges, config: MeetingConfig = CONFIG) -> list[tuple[TranslationRequest, ...]]:
    """Return the requests of some steps. Each state makes a round trip through JSON."""
    adapter = TypeAdapter(WindowState)
    state, requests = WindowState(), list[tuple[TranslationRequest, ...]]()
    for i, sentences in enumerate(done):
        state, some = step(state, ChunkUpdate("t", "m", i, i, 0, config=config if i == 0 else None), sentences)
        assert adapter.validate_json(adapter.dump_json(state)) == state
        requests.append(some)
    return requests


def final_sentences(*sentences: Sentence) -> SentenceChanges:
    return SentenceChanges(emitted=sentences, stable=sentences)


def test_each_stable_sentence_is_requested_in_every_language() -> None:
    (requests,) = run_context(final_sentences(make_sentence(1, "Yes.")))
    assert requests == tuple(TranslationRequest("t", "m", "1.0", 1, to, None, "Yes.", ()) for to in ("pt", "de"))


def test_unstable_sentence_is_not_requested() -> None:
    assert run_context(SentenceChanges(emitted=(make_sentence(1, "Yes."),))) == [()]


def test_context_has_the_previous_sentences_of_any_speaker_in_reading_order() -> None:
    *_, requests = run_context(
        final_sentences(make_sentence(3, "Three.", speaker="B")),
        final_sentences(make_sentence(1, "One.")),
        final_sentences(make_sentence(2, "Two.")),
        final_sentences(make_sentence(4, "Four.")),
    )
    assert requests[0].context == (ContextSentence("2.0", "A", "Two."), ContextSentence("3.0", "B", "Three."))


def test_context_has_no_later_sentences() -> None:
    _, requests = run_context(
        SentenceChanges(emitted=(make_sentence(1, "One."), make_sentence(2, "Two."))),
        SentenceChanges(stable=(make_sentence(1, "One."),)),
    )
    assert requests[0].context == ()


def test_context_follows_revisions_and_retractions() -> None:
    *_, requests = run_context(
        final_sentences(make_sentence(1, "One."), make_sentence(2, "Two."), make_sentence(3, "Three.")),
        final_sentences(make_sentence(1, "Won.", revision=2)),
        SentenceChanges(retractions=(Retraction("2.0", 2),)),
        SentenceChanges(stable=(make_sentence(3, "Three."),)),
    )
    assert requests[0].context == (ContextSentence("1.0", "A", "Won."),)


def test_source_language_is_the_sentences_or_the_meetings() -> None:
    output = final_sentences(make_sentence(1, "Sim.", language="pt"), make_sentence(2, "Yes."))
    languages = [
        [
            request.source_language
            for request in run_context(output, config=CONFIG.model_copy(update={"source_language": source}))[0]
        ]
        for source in ("auto", "en")
    ]
    assert languages == [["pt", "pt", None, None], ["pt", "pt", "en", "en"]]


def test_config_change_applies_from_its_entry() -> None:
    state, before = step(
        WindowState(), ChunkUpdate("t", "m", 0, 1, 0, config=CONFIG), final_sentences(make_sentence(1, "One."))
    )
    changed = MeetingConfig(target_languages=("ja",), context_sentences=0, context_of_speaker=0)
    state, after = step(
        state, ChunkUpdate("t", "m", 1, 2, 0, config=changed), final_sentences(make_sentence(2, "Two."))
    )
    assert [request.language for request in (*before, *after)] == ["pt", "de", "ja"]
    assert after[0].context == ()
    assert state.config == changed


def test_state_drops_unneeded_sentences_and_is_empty_at_the_end() -> None:
    state, _ = step(WindowState(), ChunkUpdate("t", "m", 0, 1, 0, config=CONFIG), SentenceChanges())
    for n in range(100):
        state, _ = step(state, ChunkUpdate("t", "m", n, n, 0), final_sentences(make_sentence(n, "Yes.")))
    assert [sentence.chunk_ordinal for sentence in state.sentences] == list(range(100 - 2 - EXTRA_SENTENCES_COUNT, 100))
    state, requests = step(
        state, ChunkUpdate("t", "m", 100, 100, 0, meeting_ended=True), final_sentences(make_sentence(100, "End."))
    )
    assert len(requests) == 2
    assert state == WindowState()


def test_context_has_the_same_speakers_sentences_across_others() -> None:
    config = CONFIG.model_copy(update={"context_of_speaker": 2})
    others = [final_sentences(make_sentence(n, f"B{n}.", speaker="B")) for n in range(4, 30)]
    *_, requests = run_context(
        *(final_sentences(make_sentence(n, f"A{n}.")) for n in (1, 2, 3)),
        *others,
        final_sentences(make_sentence(30, "A30.")),
        config=config,
    )
    assert [one.text for one in requests[0].context] == ["A2.", "A3.", "B28.", "B29."]


def test_sentence_in_both_windows_is_in_the_context_once() -> None:
    config = CONFIG.model_copy(update={"context_of_speaker": 3})
    *_, requests = run_context(*(final_sentences(make_sentence(n, f"{n}.")) for n in range(6)), config=config)
    assert [one.text for one in requests[0].context] == ["2.", "3.", "4."]


def test_windows_of_silent_speakers_are_dropped() -> None:
    config = CONFIG.model_copy(update={"context_of_speaker": 2})
    state, _ = step(WindowState(), ChunkUpdate("t", "m", 0, 1, 0, config=config), SentenceChanges())
    for n in range(1000):
        state, _ = step(
            state, ChunkUpdate("t", "m", n, n, 0), final_sentences(make_sentence(n, "Yes.", speaker=f"S{n // 50}"))
        )
    assert {sentence.speaker for sentence in state.sentences} == {f"S{n}" for n in range(20 - MAX_SPEAKERS, 20)}
    assert len(state.sentences) == MAX_SPEAKERS * (2 + EXTRA_SENTENCES_COUNT)


@settings(deadline=None)
@given(st.lists(st.sampled_from("ABC"), max_size=60), st.integers(0, 4), st.integers(0, 4))
def test_context_equals_that_of_the_whole_transcript(speakers: list[str], recent: int, own: int) -> None:
    config = MeetingConfig(target_languages=("pt",), context_sentences=recent, context_of_speaker=own)
    state, said = WindowState(config), list[Sentence]()
    for n, speaker in enumerate(speakers):
        now = make_sentence(n, f"{n}.", speaker=speaker)
        state, (request,) = step(state, ChunkUpdate("t", "m", n, n, 0), final_sentences(now))
        mine = [one for one in said if one.speaker == speaker]
        wanted = {*said[max(len(said) - recent, 0) :], *mine[max(len(mine) - own, 0) :]}
        assert [one.text for one in request.context] == [one.text for one in said if one in wanted]
        said.append(now)


def test_late_revision_has_no_distant_context() -> None:
    config = CONFIG.model_copy(update={"context_of_speaker": 2})
    state, _ = step(WindowState(), ChunkUpdate("t", "m", 0, 1, 0, config=config), SentenceChanges())
    said = [make_sentence(n, f"{n}.", speaker="Bob" if n < 12 else "Ann") for n in range(42)]
    for one in said:
        state, _ = step(state, ChunkUpdate("t", "m", one.start, 1, 0), final_sentences(one))
    late = replace(said[42 - 20], revision=2, text="What I said.")
    _, (request, _) = step(state, ChunkUpdate("t", "m", 43, 1, 0), final_sentences(late))
    assert {sentence.speaker for sentence in request.context} <= {"Ann"}
    newer = replace(said[42 - 3], revision=2, text="What I said.")
    _, (request, _) = step(state, ChunkUpdate("t", "m", 43, 1, 0), final_sentences(newer))
    assert [one.text for one in request.context] == ["37.", "38."]


def test_request_has_terms_and_style() -> None:
    glossary = (Term(term="road map", translations={"pt": "roteiro"}), Term(term="Ana", do_not_translate=True))
    config = CONFIG.model_copy(update={"glossary": glossary, "style": "formal"})
    (requests,) = run_context(final_sentences(make_sentence(1, "The road map.")), config=config)
    portuguese, german = requests
    assert portuguese.glossary == (GlossaryEntry("Ana", "Ana"), GlossaryEntry("road map", "roteiro"))
    assert portuguese.terms_in_text == (GlossaryEntry("road map", "roteiro"),)
    assert (german.glossary, german.terms_in_text) == ((GlossaryEntry("Ana", "Ana"),), ())
    assert {request.style for request in requests} == {"formal"}


def test_translation_is_quoted_only_for_the_same_text() -> None:
    context = (ContextSentence("1.0", "A", "Yes."), ContextSentence("2.0", "B", "No."))
    request = TranslationRequest("t", "m", "3.0", 1, "pt", None, "Well.", context)
    told = with_translations(
        request, {ContextSentence("1.0", "A", "Yes."): "Sim.", ContextSentence("2.0", "B", "Not."): "Não."}
    )
    assert [one.translation for one in told.context] == ["Sim.", None]


def test_state_of_schema_1_is_readable() -> None:
    (stage,) = (stage for stage in STEPS if stage.name == "context")
    config = '{"source_language": "en", "target_languages": ["pt"], "context_sentences": 2, "drafts": true}'
    held = '[{"start": 1.5, "n": 3, "k": 0, "speaker": "A", "text": "Yes."}]'
    state = stage.load({"schema": 1, "state": f'{{"config": {config}, "held": {held}}}'})
    assert state == WindowState(
        MeetingConfig(source_language="en", target_languages=("pt",), context_sentences=2),
        (WindowSentence(1.5, 3, 0, "A", "Yes."),),
    )
    assert stage.load(stage.dump(state)) == state
    assert stage.dump(state)["schema"] == stage.schema
