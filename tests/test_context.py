from __future__ import annotations

from pydantic import TypeAdapter

from operators.context import SLACK, State, step
from operators.model import Boundary, MeetingConfig, Retracted, Sentence, Sentences, Update
from operators.translation import Quoted, TranslationRequest

CONFIG = MeetingConfig(target_languages=("pt", "de"), context_sentences=2, context_of_speaker=0)


def sentence(n: int, text: str, *, revision: int = 1, speaker: str = "A", language: str | None = None) -> Sentence:
    return Sentence(f"{n}.0", revision, speaker, text, float(n), n + 1.0, Boundary.MARK, language, 0.0, text)


def run(*done: Sentences, config: MeetingConfig = CONFIG) -> list[tuple[TranslationRequest, ...]]:
    """The requests of some steps; each state goes through JSON."""
    adapter = TypeAdapter(State)
    state, requests = State(), list[tuple[TranslationRequest, ...]]()
    for i, sentences in enumerate(done):
        state, some = step(state, Update("t", "m", i, i, 0, config=config if i == 0 else None), sentences)
        assert adapter.validate_json(adapter.dump_json(state)) == state
        requests.append(some)
    return requests


def out(*sentences: Sentence) -> Sentences:
    return Sentences(put_out=sentences, settled=sentences)


def test_each_settled_sentence_is_asked_for_in_every_language() -> None:
    (requests,) = run(out(sentence(1, "Yes.")))
    assert requests == tuple(TranslationRequest("t", "m", "1.0", 1, to, None, "Yes.", ()) for to in ("pt", "de"))


def test_what_is_not_settled_is_not_asked_for() -> None:
    assert run(Sentences(put_out=(sentence(1, "Yes."),))) == [()]


def test_the_sentences_before_it_go_along_in_reading_order_whoever_said_them() -> None:
    *_, requests = run(
        out(sentence(3, "Three.", speaker="B")),
        out(sentence(1, "One.")),
        out(sentence(2, "Two.")),
        out(sentence(4, "Four.")),
    )
    assert requests[0].context == (Quoted("2.0", "A", "Two."), Quoted("3.0", "B", "Three."))


def test_what_comes_after_it_does_not_go_along() -> None:
    _, requests = run(
        Sentences(put_out=(sentence(1, "One."), sentence(2, "Two."))), Sentences(settled=(sentence(1, "One."),))
    )
    assert requests[0].context == ()


def test_context_follows_revisions_and_retractions() -> None:
    *_, requests = run(
        out(sentence(1, "One."), sentence(2, "Two."), sentence(3, "Three.")),
        out(sentence(1, "Won.", revision=2)),
        Sentences(retracted=(Retracted("2.0", 2),)),
        Sentences(settled=(sentence(3, "Three."),)),
    )
    assert requests[0].context == (Quoted("1.0", "A", "Won."),)


def test_the_source_language_is_the_sentences_or_the_meetings() -> None:
    asked = out(sentence(1, "Sim.", language="pt"), sentence(2, "Yes."))
    languages = [
        [
            request.source_language
            for request in run(asked, config=CONFIG.model_copy(update={"source_language": source}))[0]
        ]
        for source in ("auto", "en")
    ]
    assert languages == [["pt", "pt", None, None], ["pt", "pt", "en", "en"]]


def test_a_change_of_config_counts_from_where_it_comes() -> None:
    state, before = step(State(), Update("t", "m", 0, 1, 0, config=CONFIG), out(sentence(1, "One.")))
    changed = MeetingConfig(target_languages=("ja",), context_sentences=0, context_of_speaker=0)
    state, after = step(state, Update("t", "m", 1, 2, 0, config=changed), out(sentence(2, "Two.")))
    assert [request.language for request in (*before, *after)] == ["pt", "de", "ja"]
    assert after[0].context == ()
    assert state.config == changed


def test_the_state_forgets_what_no_request_needs_and_all_at_the_end() -> None:
    state, _ = step(State(), Update("t", "m", 0, 1, 0, config=CONFIG), Sentences())
    for n in range(100):
        state, _ = step(state, Update("t", "m", n, n, 0), out(sentence(n, "Yes.")))
    assert [held.n for held in state.held] == list(range(100 - 2 - SLACK, 100))
    state, requests = step(state, Update("t", "m", 100, 100, 0, ended=True), out(sentence(100, "End.")))
    assert len(requests) == 2
    assert state == State()
