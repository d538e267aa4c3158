"""Tests of further kinds of wrappers around an answer, and of right answers that look like them; see test_wrappers.py."""

from __future__ import annotations

import pytest

from serve.engines.protocol import Utterance
from serve.translation.llm.output_cleanup import extract_translation
from serve.translation.llm.refusals import is_refusal
from tests.unit.serve.translation.llm.test_wrappers import SOURCE, attempt_of

RIGHT = "Bom dia a todos, vamos começar a reunião de hoje."


async def assert_extracted(wrapper: str, piece: int = 7) -> None:
    words = {"t": RIGHT, "s": SOURCE, "c": SOURCE.replace("'", "’"), "p": "▁" + RIGHT.replace(" ", "▁")}
    answer = await attempt_of(wrapper.format(**words), Utterance(SOURCE, "en", "pt"), piece)
    assert answer.text == RIGHT


async def assert_untouched(said: str, target: str, right: str) -> None:
    assert (await attempt_of(right, Utterance(said, "en", target), 7)).text == right


@pytest.mark.parametrize(
    ("said", "target", "right"),
    [
        ("See t.co/ab", "zh", "参见 t.co/ab"),
        ("Has Bo Li come?", "zh", "来了吗？Bo Li"),
        ("Has Bo Li come?", "zh", "来了吗？ Bo Li"),
        ("Let's go, HR and IT!", "zh", "走吧！HR IT"),
        ("Which of them, the UK or the EU?", "ja", "どちらのチームですか？UK / EU"),
        ("He said A B", "ru", "Он сказал - A B"),
        ("Open https://x.io/a please", "zh", "请打开 https://x.io/a"),
        ("Look at example dot org slash plan.", "zh", "请看。 example.org/plan"),
        ("Ask Bo and Lin.", "ja", "聞いてください。 Bo Lin"),
    ],
)
async def test_names_and_addresses_are_no_romanisation(said: str, target: str, right: str) -> None:
    await assert_untouched(said, target, right)


@pytest.mark.parametrize(
    "wrapper",
    [
        "<THINK>ok</THINK>{t}",
        "<Thinking>x</Thinking>{t}",
        "&lt;think&gt;x&lt;/think&gt;{t}",
        "<scratchpad>\nx\n</scratchpad>\n\n{t}",
        "<plan>x</plan>{t}",
        "[|assistant|]{t}[|endofturn|]",
        "{t}<EOS_TOKEN>",
        "{t}[EOS_TOKEN]",
        "<bos_token>{t}",
        "{t}<PAD>",
        "{t}<im_end>",
        "{t}<|im_end",
        "{t}<|end_of_text|",
        "{t}< |im_end| >",
        "<|IM_START|>{t}<|IM_END|>",
        "<reserved_107>{t}",
        "[START]{t}[END]",
        "&lt;s&gt;{t}&lt;/s&gt;",
        "final{t}",
        "analysisWe translate.final{t}",
        "{p}",
        "\x1b[32m{t}\x1b[0m",
        "\ufffd[1;32m{t}\ufffd[0m",
        "\\033[1m{t}\\033[0m",
        '{{translation: "{t}"}}',
        "{{translation: '{t}'}}",
        '{{"translation": “{t}”}}',
        "<![CDATA[{t}]]>",
    ],
)
async def test_marks_of_models_and_formats_are_removed(wrapper: str) -> None:
    for piece in (1, 7, 1_000):
        await assert_extracted(wrapper, piece)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("The final step is next.", "final do projeto vem agora."),
        ("Use the think tag.", "Use a tag <think>."),
        ("It is in the brackets, ten meters.", "Está em [10 m]."),
        ("Write translation colon x.", "Escreva {x: y}."),
    ],
)
async def test_text_like_these_marks_stays(said: str, right: str) -> None:
    await assert_untouched(said, "pt", right)


@pytest.mark.parametrize(
    "wrapper",
    [
        "pt-BR: {t}",
        "pt_BR: {t}",
        "[PT-BR]: {t}",
        "(pt-BR): {t}",
        "[Translation] {t}",
        "【译文】{t}",
        "(Translation) {t}",
        "<Translation>: {t}",
        "Translation → {t}",
        "Translation -> {t}",
        "Translation = {t}",
        "Português → {t}",
        "Brazilian Portuguese → {t}",
        "Versão em português: {t}",
        "In Portuguese, this would be: {t}",
        "In Portuguese, you would say: {t}",
        "Em português, seria: {t}",
        "Assistente: {t}",
        "Intérprete: {t}",
        "Claro! {t}",
        "Com certeza! {t}",
        "Here you go! {t}",
    ],
)
async def test_label_is_removed(wrapper: str) -> None:
    await assert_extracted(wrapper)


@pytest.mark.parametrize(
    ("target", "label", "right"),
    [
        ("de", "Natürlich! ", "Guten Morgen zusammen, wir beginnen jetzt."),
        ("es", "¡Claro! ", "Buenos días a todos, empecemos la reunión."),
        ("zh", "当然！", "大家早上好，我们开始今天的会议吧。"),
        ("ja", "アシスタント：", "皆さん、おはようございます。今日の会議を始めましょう。"),
    ],
)
async def test_label_in_another_language_is_removed(target: str, label: str, right: str) -> None:
    assert (await attempt_of(label + right, Utterance(SOURCE, "en", target))).text == right


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Sure! Let's go.", "Claro! Vamos."),
        ("I see! Got it.", "Claro! Entendi."),
        ("Yes! Right now.", "Claro! Vamos já."),
        ("Assistant, hello.", "Assistente: olá."),
        ("The Portuguese version is ready.", "Versão em português: pronta."),
        ("[Result] done", "[Resultado] pronto"),
        ("Result equals 5", "Resultado = 5"),
        ("Option A is to buy milk.", "(A) Comprar leite."),
        ("A equals B.", "A = B."),
    ],
)
async def test_text_like_a_label_stays(said: str, right: str) -> None:
    await assert_untouched(said, "pt", right)


@pytest.mark.parametrize(
    "wrapper",
    [
        '"{s}" means "{t}"',
        '"{s}" translates to "{t}"',
        "*{s}* means *{t}*",
        "1. {s}\n2. {t}",
        '["{s}","{t}"]',
        "__pt__ {t}",
        "{s} ~ {t}",
        "{s} :: {t}",
        "{c} → {t}",
        "{t} / {c}",
    ],
)
async def test_source_text_is_removed(wrapper: str) -> None:
    await assert_extracted(wrapper)


@pytest.mark.parametrize(
    "wrapper",
    [
        "‟{t}”",
        ',,{t}"',
        '“{t}"',
        '"{t}”',
        '"{t}".',
        '""{t}""',
        '"""{t}"""',
        "'''{t}'''",
        "《{t}》",
        "««{t}»»",
        '«{t}"',
        "❝{t}❞",
        "‘{t}'",
        "「{t}』",
    ],
)
async def test_quotation_marks_are_removed(wrapper: str) -> None:
    await assert_extracted(wrapper)


@pytest.mark.parametrize(
    ("said", "target", "right"),
    [
        ("War and Peace", "zh", "《战争与和平》"),
        ("He said yes and then no.", "pt", '"Sim", disse ele, e depois "não".'),
        ("It's five feet, 'tis.", "pt", "São 5' mesmo."),
        ("Hello means hi.", "pt", "Olá significa oi."),
    ],
)
async def test_quotation_marks_of_a_translation_stay(said: str, target: str, right: str) -> None:
    await assert_untouched(said, target, right)


@pytest.mark.parametrize(
    "wrapper",
    [
        "{t} — Note: x",
        "{t} (N. do T.: x)",
        '{t} (lit. "Good day to all")',
        "{t} (or: Bom dia, pessoal)",
        "{t} (European Portuguese)",
        "{t} NB: x",
        "{t} # x",
        "{t} // x",
        "{t} [1]",
        "{t}¹",
        "{t} / Bom dia a todos, comecemos a reunião de hoje.",
        "```\n{t}\n```\nLet me know!",
        '```json\n{{"translation": "{t}"}}\n```\nHope this helps!',
        'Here is the JSON:\n{{"translation": "{t}"}}',
        "{t}\n\nObs.: x",
        "{t}\n\nObservação: x",
        "{t}\n\nEsta tradução mantém o tom formal.",
        "{t}\n\n(Esta tradução é formal.)",
        "{t}\n\nI translated it formally.",
        "{t}\n\nI kept the tone.",
        "{t}\n\nLet me know!",
        "<scratchpad>x</scratchpad>\n{t}",
    ],
)
async def test_note_is_removed(wrapper: str) -> None:
    for piece in (1, 7, 1_000):
        await assert_extracted(wrapper, piece)


@pytest.mark.parametrize(
    ("said", "target", "broken", "right"),
    [
        (SOURCE, "pt", "Bom dia a todos,\nvamos começar a reunião de hoje.", RIGHT),
        (SOURCE, "pt", "Bom dia a todos, vamos começar\na reunião de hoje.", RIGHT),
        (SOURCE, "zh", "大家早上好，\n我们开始今天的会议吧。", "大家早上好，我们开始今天的会议吧。"),
        ("Good morning. Let us begin.", "pt", "Bom dia.\nVamos começar.", "Bom dia. Vamos começar."),
    ],
)
async def test_lines_of_one_translation_are_joined(said: str, target: str, broken: str, right: str) -> None:
    for piece in (1, 7, 1_000):
        assert (await attempt_of(broken, Utterance(said, "en", target), piece)).text == right


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Buy milk now (or: at once).", "Compre leite agora (ou: já)."),
        ("Plan B # x", "Plano B # x"),
        ("Good morning or good afternoon to all.", "Bom dia / boa tarde a todos."),
        ("This translation keeps the tone.", "Esta tradução mantém o tom."),
        ("See note [1].", "Veja a nota [1]."),
        ("We won. NB, tomorrow.", "Ganhamos. NB: amanhã."),
    ],
)
async def test_text_like_a_note_stays(said: str, right: str) -> None:
    await assert_untouched(said, "pt", right)


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ("Use the div tag.", "Use a tag <div>."),
        ("Use the b tag.", "Use a tag <b>"),
        ("Close the span.", "Feche o </span>."),
        ("The br breaks the line.", "O <br> quebra a linha."),
        ("Item number one, buy milk.", "1. Comprar leite."),
        ("First, buy milk.", "1. Comprar leite."),
        ("One, buy milk.", "1) Comprar leite."),
        ("Hash title.", "# Título"),
        ("Dash, yes.", "- Sim."),
        ("The name is star star init.", "O nome é **init**."),
        ("The value is ampersand amp.", "O valor é &amp;."),
    ],
)
async def test_marks_that_the_source_text_names_stay(said: str, right: str) -> None:
    await assert_untouched(said, "pt", right)


@pytest.mark.parametrize("wrapper", ["1. {t}", "<div>{t}</div>", "{t}<br>", "<p><b>{t}</b></p>", "<output>{t}"])
async def test_markup_is_removed(wrapper: str) -> None:
    await assert_extracted(wrapper)


@pytest.mark.parametrize("marks", ["* ", "_", "# ", "[", "( ", "<a ", '"', "- ", "\n", "a:", "1. ", "é", "..."])
def test_an_answer_of_repeated_marks_is_cleaned_in_linear_time(marks: str) -> None:
    # An expression that backtracks would take hours here, and the timeout of a test would end it.
    request, answer = Utterance(SOURCE, "en", "pt"), (marks * 5_000)[:5_000]
    assert len(extract_translation(answer, request)) <= len(answer)
    assert not is_refusal(answer, SOURCE, "en")
