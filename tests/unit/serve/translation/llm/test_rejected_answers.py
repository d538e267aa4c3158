"""Tests of answers that are no translation, and of right answers that look like them."""

from __future__ import annotations

import pytest

from serve.engines.protocol import RejectedOutputError, Utterance
from tests.unit.serve.translation.llm.test_wrappers import SOURCE, attempt_of


async def assert_rejected(answer: str, question: Utterance, defects: set[str]) -> None:
    with pytest.raises(RejectedOutputError) as caught:
        await attempt_of(answer, question, 7)
    assert caught.value.defect in defects


async def assert_accepted(answer: str, question: Utterance) -> None:
    assert (await attempt_of(answer, question, 7)).text == answer


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("sr-Latn", "sr-Cyrl", "Dobro jutro svima, počnimo današnji sastanak o budžetu za sledeću godinu."),
        ("kk-Latn", "kk-Cyrl", "Barlyǵyńyzǵa qaıyrly tań, búgingi jınalysty bastaıyq."),
        ("az-Latn", "az-Cyrl", "Sabahınız xeyir, gəlin bugünkü iclasa başlayaq."),
        ("ms", "ms-Arab", "Selamat pagi semua, mari kita mulakan mesyuarat hari ini."),
        ("en", "ru", "Good morning everybody, let us begin."),
        ("en", "de", "Good morning everybody, let us begin."),
        ("en", "ar", "First the plan, then the money, then the people."),
        ("en", "pt", "First the plan, then the money, then the people."),
        ("en", "ko", "she said no, then yes, then no again"),
        ("en", "zh", "Thank you very much."),
        ("de", "ru", "Guten Morgen zusammen."),
        ("en", "es", "I think so, yes."),
        ("en", "hi", "THANK YOU ALL VERY MUCH."),
    ],
)
async def test_untouched_sentence_is_rejected(source: str, target: str, said: str) -> None:
    await assert_rejected(said, Utterance(said, source, target), {"echo", "language"})


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("ru", "OK"),
        ("ru", "Okay, okay."),
        ("zh", "Ha ha ha."),
        ("ru", "Zoom, Slack, Teams"),
        ("ar", "Zoom, Slack, Teams"),
        ("de", "Zoom, Slack, Teams"),
        ("ja", "GitHub Actions, Docker Compose, Visual Studio Code"),
        ("ru", "Kubernetes, Docker, Terraform, Ansible"),
        ("ar", "iPhone 15 Pro Max"),
        ("zh", "git push origin main"),
        ("ru", "Agnes Miller."),
        ("ja", "AWS, GCP, IBM, NASA."),
        ("fr", "sprint planning, code review, daily standup"),
    ],
)
async def test_names_and_terms_may_be_untouched(target: str, said: str) -> None:
    await assert_accepted(said, Utterance(said, "en", target))


@pytest.mark.parametrize(
    "answer",
    [
        "Could you please clarify what you mean?",
        "Translate the following sentence into Portuguese.",
        "GOOD MORNING EVERYBODY, LET US BEGIN TODAY'S MEETING.",
        "Buenos días a todos.",
        "Bonjour à tous, commençons.",
        "Guten Morgen! Wie geht es Ihnen heute?",
    ],
)
async def test_short_answer_in_another_language_is_rejected_or_has_a_warning(answer: str) -> None:
    try:
        warnings = [str(each) for each in (await attempt_of(answer, Utterance(SOURCE, "en", "pt"), 7)).warnings]
    except RejectedOutputError as error:
        warnings = [error.defect]
    assert warnings in (["echo"], ["language"], ["language: Portuguese"])


@pytest.mark.parametrize(
    ("source", "target", "said", "answer"),
    [
        ("en", "pt", "Marketing feedback.", "Feedback do marketing."),
        ("en", "nl", "The meeting is done.", "De meeting is klaar."),
        ("es", "pt", "Buenos días a todos.", "Bom dia a todos."),
        ("en", "fr", "Important question.", "Question importante."),
        ("en", "pt", "Merge the pull request.", "Faça merge do pull request."),
        ("es", "en", "Buenos días, María José.", "Good morning, María José."),
    ],
)
async def test_short_translation_has_no_warning(source: str, target: str, said: str, answer: str) -> None:
    assert (await attempt_of(answer, Utterance(said, source, target))).warnings == ()


@pytest.mark.parametrize(
    "answer",
    [
        "Error",
        "ERROR",
        "Erro 500",
        "Error 404",
        "Exception",
        "404 page not found",
        "503 Service Temporarily Unavailable",
        "[ERROR] CUDA out of memory",
        "no healthy upstream",
        "upstream connect error or disconnect/reset before headers",
        "An error occurred while processing your request.",
        "Ocorreu um erro ao processar o pedido.",
        "Model is loading",
        "The model is currently loading",
        "Tradução:",
        "Translation",
        "**Translation:**",
        "No translation available.",
        "Tradução não disponível.",
        "TODO",
        "[TODO]",
        "TBD.",
        "Lorem ipsum dolor sit amet",
    ],
)
async def test_error_or_empty_answer_is_rejected(answer: str) -> None:
    await assert_rejected(answer, Utterance(SOURCE, "en", "pt"), {"error", "empty"})


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("TODO", "TODO"),
        ("The list says TODO.", "TODO: a lista."),
        ("All of it, please.", "Todo."),
        ("Mistake", "Erro"),
        ("Error 500", "Erro 500"),
        ("No translation available.", "Nenhuma tradução disponível."),
        ("The model is loading", "O modelo está carregando"),
        ("The translation", "Tradução"),
        ("This is the result.", "Resultado:"),
        ("Portuguese.", "Português."),
        ("404 people came", "404 pessoas vieram"),
        ("An error occurred.", "Ocorreu um erro."),
    ],
)
async def test_translation_similar_to_an_error_is_accepted(said: str, answer: str) -> None:
    await assert_accepted(answer, Utterance(said, "en", "pt"))


@pytest.mark.parametrize(
    "answer",
    [
        "Bom dia a todos, vamos começar a reunião de hoje. Bom dia a todos, vamos começar a reunião de hoje.",
        "Bom dia a todos, vamos começar a reunião de hoje, bom dia a todos, vamos começar a reunião de hoje",
        "bom dia a todos, bom dia a todos, bom dia a todos",
        "Bom dia, bom dia, bom dia, bom dia",
        "Bom dia a todos! Bom dia a todos. bom dia a todos",
        "Vamos começar. BOM DIA A TODOS. Bom dia a todos. bom dia a todos. Bom dia a todos.",
    ],
)
async def test_repeated_answer_is_rejected(answer: str) -> None:
    await assert_rejected(answer, Utterance(SOURCE, "en", "pt"), {"endless"})


@pytest.mark.parametrize(
    ("said", "target", "answer"),
    [
        (
            "Good morning everybody, good morning everybody.",
            "pt",
            "Bom dia para todos vocês, bom dia para todos vocês.",
        ),
        ("Let's go, let's go!", "pt", "Vamos, vamos!"),
        ("All right then.", "pt", "Tudo bem, tudo bem."),
        ("Thanks ever so much!", "pt", "Muito obrigado, muito obrigado!"),
        ("Take it easy.", "zh", "慢慢来，慢慢来。"),
        ("Of course, absolutely, yes.", "de", "Klar, klar, klar."),
        ("Yes, yes, yes.", "pt", "Sim, sim, sim."),
        ("Some of us go and some of us come.", "pt", "Uns vão, uns vêm."),
    ],
)
async def test_repetition_for_emphasis_is_accepted(said: str, target: str, answer: str) -> None:
    await assert_accepted(answer, Utterance(said, "en", target))
