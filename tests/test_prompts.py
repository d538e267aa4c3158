"""serve/prompts.py and serve/engines/prompted.py: what a language model is told, and which of its answers are let through."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.recording import read_recording
from operators.errors import Unavailable
from operators.translation import Quoted
from serve.engines.engine import Answer, Engine, Generation, Prompt, Unanswerable, Utterance, whole
from serve.engines.firefox import FirefoxEngine
from serve.engines.prompted import PromptedTranslator
from serve.prompts import language_name, translation_prompt

BEFORE = (Quoted("1.0", "Ann", "Good morning."), Quoted("2.0", "Bob", "Hello."))
SAID = Utterance("We have to send the budget to the customer.", "en", "pt-BR", BEFORE)
RIGHT = "Temos que enviar o orçamento ao cliente."


class Scripted:
    """A language model that says what it was told to."""

    name = "scripted"
    version = "1"

    def __init__(self, text: str, *, cut: bool = False) -> None:
        self.text, self.cut, self.given, self.closed = text, cut, 0, False

    async def generate(self, question: Prompt) -> Answer:
        for character in self.text:
            self.given += 1
            yield character
        yield Generation(self.text, "scripted", "length" if self.cut else "stop", 1, 1, 0.0, 0.0)

    async def check_health(self) -> None:
        raise Unavailable("gone")

    async def close(self) -> None:
        self.closed = True


async def translated(engine: Engine[Prompt], said: Utterance = SAID) -> str:
    return (await whole(PromptedTranslator(engine).generate(said))).text


def test_the_prompt_names_the_languages_and_ends_with_what_was_said() -> None:
    system, user = translation_prompt(SAID).messages
    assert "from English into Portuguese (Brazil)" in system.content
    assert user.content.endswith("\nWe have to send the budget to the customer.")
    assert user.content.index("Ann: Good morning.") < user.content.index("Bob: Hello.")


@given(st.text(max_size=200), st.lists(st.text(max_size=50), max_size=4))
def test_what_comes_before_the_context_never_changes_so_that_it_is_worked_out_once(
    text: str, context: list[str]
) -> None:
    before = tuple(Quoted(f"{n}.0", "Ann", said) for n, said in enumerate(context))
    messages = translation_prompt(Utterance(text, "en", "pt-BR", before)).messages
    assert messages[0] == translation_prompt(SAID).messages[0]
    assert len(messages) == 2


def test_languages_have_names() -> None:
    assert [language_name(tag) for tag in ("zh-Hant", "de")] == ["Chinese (Traditional)", "German"]


@pytest.mark.parametrize(
    ("answer", "text"),
    [(RIGHT, RIGHT), (f"  {RIGHT}\n", RIGHT), (f'"{RIGHT}"', RIGHT), (f"“{RIGHT}”", RIGHT), (f"«{RIGHT}»", RIGHT)],
)
async def test_the_translation_is_taken_out_of_what_surrounds_it(answer: str, text: str) -> None:
    assert await translated(Scripted(answer)) == text


async def test_quotation_marks_that_were_said_stay() -> None:
    said = Utterance('"Go" and "stop" are the words.', "en", "pt")
    assert await translated(Scripted('"Vai" e "pare" são as palavras."'), said) == '"Vai" e "pare" são as palavras."'


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("We have to send the budget to the customer.", "repeated what was said"),
        ("The budget has to be sent to the customers by all of us.", "answered in English"),
        ("Мы должны отправить бюджет клиенту.", "did not answer in Portuguese"),
        (f"{RIGHT}\n\nNote: I kept it formal.", "more than a translation"),
    ],
)
async def test_what_is_no_translation_is_refused_with_the_reason(answer: str, reason: str) -> None:
    with pytest.raises(Unanswerable, match=reason) as caught:
        await translated(Scripted(answer))
    assert "budget" not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "target", "said", "answer", "reason"),
    [
        ("en", "pt", "We need more time.", "We need more time.", "repeated what was said"),
        ("zh", "ja", "我们需要更多时间", "我们需要更多时间", "repeated what was said"),
        ("zh", "ru", "我们需要更多时间", "我们需要更多时间", "did not answer in Russian"),
        ("th", "hi", "เราต้องการเวลาเพิ่ม", "เราต้องการเวลาเพิ่ม", "did not answer in Hindi"),
        ("en", "ja", "We need more time.", "Нам нужно больше времени.", "did not answer in Japanese"),
        ("en", "ja", "We need more time for it.", "We need more time for this.", "did not answer in Japanese"),
        (
            *("en", "pt", "We have to send the budget to the customer before Friday."),
            "Tenemos que enviar el presupuesto al cliente antes del viernes, por favor.",
            "answered in Spanish",
        ),
        (
            *("en", "pt", "We have to send the budget to the customer before Friday."),
            "Nous devons envoyer le budget au client avant vendredi, s'il vous plaît.",
            "answered in French",
        ),
    ],
)
async def test_another_language_is_no_translation(
    source: str, target: str, said: str, answer: str, reason: str
) -> None:
    with pytest.raises(Unanswerable, match=reason):
        await translated(Scripted(answer), Utterance(said, source, target))


@pytest.mark.parametrize(
    ("source", "target", "said", "answer"),
    [
        ("en", "pt", "Agnes Miller.", "Agnes Miller."),
        ("en", "ja", "Zoom or Teams?", "ZoomかTeamsか?"),
        ("en", "ja", "IBM.", "IBM."),
        ("ja", "en", "はい", "Yes."),
        ("en", "pt-BR", "We need more time.", "Translation: Precisamos de mais tempo."),
        ("en", "ru", "The meeting is over.", "Встреча окончена."),
        ("en", "zh-Hant", "The meeting is over.", "會議結束了。"),
        ("en", "ko", "The meeting is over.", "회의가 끝났습니다."),
    ],
)
async def test_a_translation_is_let_through(source: str, target: str, said: str, answer: str) -> None:
    assert answer.endswith(await translated(Scripted(answer), Utterance(said, source, target)))


async def test_real_translations_of_a_whole_meeting_are_let_through() -> None:
    firefox = FirefoxEngine()
    recording = read_recording(Path(__file__).parent.parent / "examples" / "launch.broadcasts.jsonl")
    last = {event.chunk.chunk_id: event.chunk.text for event in recording.events}
    for said in last.values():
        utterance = Utterance(said, "en", "pt")
        answer = (await whole(firefox.generate(utterance))).text
        assert await translated(Scripted(answer), utterance) == answer
    await firefox.close()


async def test_an_answer_that_was_cut_off_is_no_translation() -> None:
    with pytest.raises(Unanswerable, match="did not come to an end"):
        await translated(Scripted("Temos que enviar", cut=True))


async def test_an_answer_that_goes_on_after_the_translation_is_not_waited_for() -> None:
    model = Scripted(f"{RIGHT}\n\nAnd then" + " on" * 10_000)
    with pytest.raises(Unanswerable):
        await translated(model)
    assert model.given < 100


async def test_a_short_word_may_be_the_same_in_both_languages() -> None:
    assert await translated(Scripted("Universal."), Utterance("Universal.", "en", "pt")) == "Universal."


async def test_it_stands_for_its_engine() -> None:
    model = Scripted("")
    translator = PromptedTranslator(model)
    assert (translator.name, translator.version) == ("scripted", "1")
    assert translator.supports("en", "pt-BR")
    assert not translator.supports("en", "qq")
    with pytest.raises(Unavailable):
        await translator.check_health()
    await translator.close()
    assert model.closed
