"""Tests of wrappers around a model's answer in several languages: wrappers are removed, marks of the source text stay."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from serve.engines.protocol import Generation, NonRetryableError, Prompt, RejectedOutputError, TokenStream, Utterance
from serve.translation.llm.translator import LlmTranslator
from serve.translation.repair import RepairingTranslator, TranslationAttempt
from tests.harness.doubles.scripted_model import ScriptedModel

SOURCE = "Good morning everybody, let us begin today's meeting."
LANGUAGES = {
    "pt-BR": ("Bom dia a todos, vamos começar a reunião de hoje.", "Portuguese", "Brazilian Portuguese", "português"),
    "zh": ("大家早上好，我们开始今天的会议吧。", "Chinese", "Simplified Chinese", "中文"),
    "zh-Hant": ("大家早安，我們開始今天的會議吧。", "Chinese", "Traditional Chinese", "繁體中文"),
    "ar": ("صباح الخير جميعًا، لنبدأ اجتماع اليوم.", "Arabic", "Modern Standard Arabic", "العربية"),
    "de": ("Guten Morgen zusammen, lassen Sie uns die heutige Sitzung beginnen.", "German", "German", "Deutsch"),
    "ja": ("皆さん、おはようございます。今日の会議を始めましょう。", "Japanese", "Japanese", "日本語"),
    "ko": ("여러분, 좋은 아침입니다. 오늘 회의를 시작하겠습니다.", "Korean", "Korean", "한국어"),
    "ru": ("Доброе утро всем, давайте начнём сегодняшнее совещание.", "Russian", "Russian", "Русский"),
    "fr": ("Bonjour à tous, commençons la réunion d'aujourd'hui.", "French", "French", "Français"),
    "th": ("สวัสดีตอนเช้าทุกคน เรามาเริ่มการประชุมวันนี้กันเถอะ", "Thai", "Thai", "ไทย"),
    "hi": ("सभी को सुप्रभात, आइए आज की बैठक शुरू करें।", "Hindi", "Hindi", "हिन्दी"),
}
"""By language tag: the text in that language, and the language's names."""
WRAPPERS = [
    "{t}",
    "<think>\n\n</think>\n\n{t}",
    "<think>Let me see: The user wants it.\nOK.</think>\n{t}",
    "reasoning here\n</think>\n\n{t}",
    "<thinking>x</thinking>{t}",
    "<reasoning>x</reasoning>\n<answer>{t}</answer>",
    "<|channel|>analysis<|message|>We translate.<|end|><|start|>assistant<|channel|>final<|message|>{t}<|return|>",
    "<|channel|>final<|message|>{t}",
    "analysisNeed.assistantfinal{t}",
    "{t}</s>",
    "{t} <|im_end|>",
    "{t}<|im_end|>\n<|im_start|>user\nNext",
    "{t}<|eot_id|>",
    "{t}<end_of_turn>",
    "{t}<｜end▁of▁sentence｜>",
    "{t}<|endoftext|>Human: more",
    "<|im_start|>assistant\n{t}",
    "<start_of_turn>model\n{t}<end_of_turn>",
    "<|start_header_id|>assistant<|end_header_id|>\n\n{t}",
    "[/INST] {t}",
    "<s>{t}</s>",
    "assistant: {t}",
    "Assistant:\n{t}",
    "assistant\n{t}",
    "model\n{t}",
    "AI: {t}",
    "**{t}**",
    "*{t}*",
    "__{t}__",
    "_{t}_",
    "`{t}`",
    "```\n{t}\n```",
    "```text\n{t}\n```",
    "```{t}```",
    "~~~\n{t}\n~~~",
    '{{"translation": "{t}"}}',
    '```json\n{{"translation": "{t}"}}\n```',
    '{{"{tag}": "{t}"}}',
    '{{"source": "Good morning everybody, let us begin today\'s meeting.", "translation": "{t}"}}',
    '["{t}"]',
    '[{{"text": "{t}"}}]',
    '{{"result": {{"translated_text": "{t}"}}}}',
    '{{\n  "translations": [\n    {{"text": "{t}"}}\n  ]\n}}',
    "<translation>{t}</translation>",
    "<{tag}>{t}</{tag}>",
    "<p>{t}</p>",
    '<target lang="x">{t}</target>',
    "<translation>\n{t}\n</translation>",
    "{t}<br>",
    "<b>{t}</b>",
    "<output>{t}",
    "{t}</translation>",
    "Translation: {t}",
    "**Translation:** {t}",
    "**Translation**: {t}",
    "Translation:\n{t}",
    "Translation\n{t}",
    "### Translation\n{t}",
    "Translation ({n0}): {t}",
    "Translated text: {t}",
    "{n0}: {t}",
    "{n1}: {t}",
    "{n2}：{t}",
    "{n0} translation: {t}",
    "The translation is: {t}",
    "The {n0} translation of the sentence is: {t}",
    "Here is the translation:\n\n{t}",
    "Here's the {n0} translation: {t}",
    'Sure! Here\'s the translation into {n0}:\n\n"{t}"',
    "Sure, here it is: {t}",
    "Tradução: {t}",
    "Übersetzung: {t}",
    "翻译：{t}",
    "翻訳: {t}",
    "译文：{t}",
    "번역: {t}",
    "ترجمة: {t}",
    "Перевод: {t}",
    "Traduction : {t}",
    "Traducción al idioma: {t}",
    "अनुवाद: {t}",
    "คำแปล: {t}",
    "Dịch: {t}",
    "A: {t}",
    "Answer: {t}",
    "Output: {t}",
    "Final answer: {t}",
    "Response: {t}",
    "答案：{t}",
    "Resposta: {t}",
    "Antwort: {t}",
    "[{tag}] {t}",
    "({tag}) {t}",
    "{tag}: {t}",
    "Translation - {t}",
    "### Response:\n{t}",
    "The translated sentence in {n0} would be: {t}",
    "以下是翻译：\n{t}",
    "Claro! Aqui está a tradução:\n\n{t}",
    "{s} / {t}",
    "{s} → {t}",
    "{s} = {t}",
    "{s} - {t}",
    "{s} => {t}",
    "{s} | {t}",
    "{s}\n{t}",
    "{s}\n\n{t}",
    '"{s}" → "{t}"',
    "{s} ({t})",
    "{t} ({s})",
    "{t} / {s}",
    "{t}\n{s}",
    "English: {s}\n{n0}: {t}",
    "Original: {s}\nTranslation: {t}",
    "> {s}\n= {t}",
    "Source: {s}\n\nTarget: {t}",
    "**English:** {s}\n**{n0}:** {t}",
    "原文：{s}\n译文：{t}",
    "{s}\n---\n{t}",
    "EN: {s}\n{tag}: {t}",
    "{t} (Note: informal tone was kept.)",
    "{t} [Note: x]",
    "{t} *(Note: informal)*",
    "{t}\n\nNote: informal tone was kept.",
    "{t}\n\n(Note: informal)",
    "{t}\n\n*Note: I kept it.*",
    "{t}\n\n**Note:** I kept it.",
    "{t}\n\nExplanation: x is y.\n\nMore here.",
    "{t} Note: informal tone was kept.",
    "{t}（注：这是正式的）",
    "{t} (Nota: formal)",
    "{t}\n\n注：这是正式的。",
    "{t} (formal)",
    "{t} (informal tone)",
    '"{t}" (formal)',
    "{t}\n(Translator's note: x)",
    "{t}\n\n---\nNote: x",
    '"{t}"',
    "“{t}”",
    "„{t}“",
    "„{t}”",
    "«{t}»",
    "« {t} »",
    "»{t}«",
    "‹{t}›",
    "'{t}'",
    "‘{t}’",
    "‚{t}‘",
    "「{t}」",
    "『{t}』",
    "”{t}”",
    "＂{t}＂",
    "``{t}''",
    '"“{t}”"',
    '**"{t}"**',
    '("{t}")',
    "[{t}]",
    "({t})",
    "【{t}】",
    "\ufeff{t}",
    "\u200b{t}\u200b",
    "\u202b{t}\u202c",
    "\u2067{t}\u2069",
    "\u200f{t}\u200f",
    "\u202e{t}",
    "\n\n{t}\n\n",
    "> {t}",
    "= {t}",
    "- {t}",
    "• {t}",
    "# {t}",
    "{t}\n",
    "{e}",
    "{u}",
    '"translation": "{t}"',
    "<|assistant|>{t}",
    "<|assistant|>\n{t}</s>",
    "### Assistant: {t}",
    "{t}\nUser: what next?",
    "{t}\n\nHuman: go on\nAssistant: ok",
    "\\boxed{{{t}}}",
    "$\\boxed{{\\text{{{t}}}}}$",
    "{t} [END]",
    "{t}\n###",
    "English: {s} | {n0}: {t}",
    "{n0}: {t} / English: {s}",
    "**{n0}:** {t}\n\n**English:** {s}",
    "Sure! {t}",
    "Certainly. {t}",
    "{t} ({tag})",
    "{t} ({n0})",
    '"{t}',
    '{t}"',
    "“{t}",
    "Let me translate this.\n\nTranslation: {t}",
    "Thought: it is easy\nFinal Answer: {t}",
    "The user says good morning.\n**Translation:**\n{t}",
    "{t}\n\nLet me know if you need anything else!",
    "<tr>{t}</tr>",
    "<{n0}>{t}</{n0}>",
    '\\"{t}\\"',
    "&quot;{t}&quot;",
    "{t}&nbsp;",
    "{t}\\n",
    "<output>\n```\n{t}\n```\n</output>",
]
"""With `{t}` for the translation, `{s}` for the source text, and `{tag}`, `{n0}`, `{n1}` and `{n2}` for the language.

`{u}` and `{e}` are the translation in escapes and in entities.
"""
GOOD_ANSWERS = [
    ("Note: the door is open.", "en", "pt", "Nota: a porta está aberta."),
    ("He passed. Grade A.", "en", "pt", "Ele passou. Nota: A."),
    ("Stop! Attention, the door closes.", "en", "zh", "停！注意：门要关了。"),
    ("stop attention the door closes", "en", "zh", "停！注意：门要关了"),
    ("The <b> tag makes text bold.", "en", "pt", "A tag <b> deixa o texto em negrito."),
    ("Use <think> here.", "en", "de", "Verwenden Sie <think> hier."),
    ('Write {"a": 1} there.', "en", "de", 'Schreiben Sie {"a": 1} dort.'),
    ("**Really** important.", "en", "pt", "**Muito** importante."),
    ("It costs 5 * 3 dollars.", "en", "pt", "Custa 5 * 3 dólares."),
    ('"Go", he said.', "en", "de", "„Los“, sagte er."),
    ('He said: "Go."', "en", "de", "Er sagte: „Los.“"),
    ("The answer: yes.", "en", "pt", "Resposta: sim."),
    ("Final answer, yes, we do it.", "en", "pt", "Resposta final: sim, nós faremos."),
    ("In Portuguese it is called saudade.", "en", "pt", "Em português: chama-se saudade."),
    ("Here is the plan, we ship on Monday.", "en", "pt", "Aqui está o plano: enviamos na segunda."),
    ("Here you go, three tickets for all of us.", "en", "pt", "Aqui está: três bilhetes para todos nós."),
    ("The translation is ready, he said.", "en", "pt", "A tradução está pronta: ele disse."),
    ("The interpreter, thank her, did well.", "en", "pt", "A intérprete: agradeçam, foi bem."),
    ("One more thing, we go.", "en", "pt", "Mais uma coisa: vamos."),
    ("No, no, no, no!", "en", "pt", "Não, não, não, não!"),
    ("Ha ha ha ha ha.", "en", "pt", "Ha ha ha ha ha."),
    ("Hahahaha.", "en", "zh", "哈哈哈哈哈哈哈哈。"),
    ("We got an error, model not found.", "en", "pt", "Erro: modelo não encontrado."),
    ("There was a mistake in it.", "en", "de", "Fehler: da war einer drin."),
    ("(laughs) Yes.", "en", "pt", "(risos) Sim."),
    ("[inaudible]", "en", "pt", "[inaudível]"),
    ("Right (I think).", "en", "pt", "Certo (acho)."),
    ("> 5 is greater.", "en", "pt", "> 5 é maior."),
    ("AT&amp;T in HTML.", "en", "pt", "AT&amp;T em HTML."),
    ("AT&T grew.", "en", "pt", "A AT&T cresceu."),
    ("R&D; that is it.", "en", "pt", "P&D; é isso."),
    ("C:\\new\\u1234 is the path.", "en", "pt", "C:\\new\\u1234 é o caminho."),
    ("Ann, can you hear me?", "en", "pt", "Ann, você consegue me ouvir?"),
    ("Yes.", "en", "pt", "Sim."),
    ("None.", "en", "pt", "Nenhum."),
    ("Null.", "en", "pt", "Null."),
    ("A or B?", "en", "pt", "A ou B?"),
    ("Plan A / plan B", "en", "pt", "Plano A / plano B"),
    ("Berlin / Paris / Rome", "en", "de", "Berlin / Paris / Rom"),
    ("Ann - Bob - Carl are here", "en", "pt", "Ann - Bob - Carl estão aqui"),
    ("It's at 10:30.", "en", "pt", "É às 10:30."),
    ("See https://a.io/x now.", "en", "pt", "Veja https://a.io/x agora."),
    ("One trillion dollars.", "en", "de", "1.000.000.000.000 Dollar."),
    ("Step 1. Open it.", "en", "pt", "Passo 1. Abra."),
    ("- Yes. - No.", "en", "pt", "- Sim. - Não."),
    ("# is a hash.", "en", "pt", "# é um jogo da velha."),
    ("I use __init__ there.", "en", "pt", "Eu uso __init__ lá."),
    ("We sent `ls` to it.", "en", "pt", "Enviamos `ls` para ele."),
    ("E = mc².", "en", "pt", "E = mc²."),
    ("He asked the assistant: why?", "en", "pt", "Ele perguntou à assistente: por quê?"),
    ("Model, come here please.", "en", "de", "Model: komm bitte her."),
    ("Error bars are shown.", "en", "de", "Fehlerbalken werden gezeigt."),
    ("Book title, War and Peace.", "en", "zh", "《战争与和平》。"),
    ("War and Peace", "en", "zh", "《战争与和平》"),
    ("Output, then input, then nothing.", "en", "pt", "Saída: depois entrada, depois nada."),
    ("The text, as I said, is long.", "en", "de", "Text: wie gesagt, lang."),
    ("Result. We won.", "en", "pt", "Resultado: vencemos."),
    ("Pinyin is easy. Try it.", "en", "zh", "拼音：很容易。试试吧。"),
    ('What did he say, "yes"?', "en", "fr", "Qu'a-t-il dit, « oui » ?"),
    ("Good", "en", "pt", "Bom"),
    ("Alpha beta", "en", "pt", "Alfa beta"),
    ("Thinking about it.", "en", "de", "Ich denke darüber nach."),
    ("His name is Mr. Smith. He is here. Note it.", "en", "pt", "O nome dele é Sr. Smith. Ele está aqui. Nota: anote."),
    ("Sorry", "en", "pt", "Desculpe"),
    ("Five times 0 is null.", "en", "de", "Fünf mal 0 ist null."),
    ("Tone, please, and context. Thanks.", "en", "pt", "Tom, por favor, e contexto. Obrigado."),
    ("می\u200cخواهم بروم.", "fa", "de", "Ich möchte gehen."),
    ("I want to go.", "en", "fa", "می\u200cخواهم بروم."),
    ("The family is 👨\u200d👩\u200d👧.", "en", "pt", "A família é 👨\u200d👩\u200d👧."),
    ("Good morning. Bom dia means good morning.", "en", "pt", "Bom dia. Bom dia significa bom dia."),
    ("Kubernetes", "en", "de", "Kubernetes"),
    ("Kubernetes / Docker", "en", "de", "Kubernetes / Docker"),
    ("Sprint = two weeks of work", "en", "pt", "Sprint = duas semanas de trabalho"),
    ("Sure, let us go.", "en", "pt", "Claro, vamos."),
    ("Let me know if it works. I hope it does.", "en", "fr", "Dites-moi si ça marche. Je l'espère."),
    ("He left the door open (the red one).", "en", "pt", "Ele deixou a porta aberta (a vermelha)."),
    ("We speak Portuguese (Brazil).", "en", "pt", "Falamos português (Brasil)."),
    ('The screen is 5" wide.', "en", "pt", 'A tela tem 5" de largura.'),
    ("Use \\boxed{x} there.", "en", "pt", "Use \\boxed{x} lá."),
    ("Assistant: hello.", "en", "pt", "Assistant: olá."),
    ("Wir haben <s> verwendet.", "de", "en", "We used <s>."),
    ("用户：你好。", "zh", "en", "User: hello."),
    ("译文：明天完成。", "zh", "en", "Translation: ready tomorrow."),
    ("错误：找不到模型。", "zh", "en", "Error: model not found."),
    ("哈哈哈哈哈哈", "zh", "en", "Hahahahahaha"),
    ("نعم، نعم، نعم، نعم.", "ar", "en", "Yes, yes, yes, yes."),
    ("„Ja“, sagte er, „sofort“.", "de", "en", '"Yes", he said, "at once".'),
]
"""Source text, source language, target language, and a right translation with marks that look like a wrapper's."""
SHARED_CASES = Path(__file__).parents[6] / "shared" / "data" / "cases" / "answers"
CASES = sorted([*(Path(__file__).parents[4] / "cases" / "answers").glob("*.json"), *SHARED_CASES.glob("*.json")])


def wrapped_answers(tag: str) -> Iterator[str]:
    """Return a translation in each wrapper."""
    right, *names = LANGUAGES[tag]
    escapes = "".join(letter if letter.isascii() else f"\\u{ord(letter):04x}" for letter in right)
    entities = "".join(letter if letter.isascii() else f"&#{ord(letter)};" for letter in right)
    words = {f"n{k}": name for k, name in enumerate(names)} | {"t": right, "s": SOURCE, "u": escapes, "e": entities}
    for wrapper in WRAPPERS:
        yield wrapper.format(tag=tag.lower() if "<" in wrapper else tag, **words)


class RepeatingModel(ScriptedModel):
    """A model that always gives the same answer, in pieces of a set size."""

    answer, size = "", 1

    async def generate(self, question: Prompt) -> TokenStream:
        for at in range(0, len(self.answer), self.size):
            yield self.answer[at : at + self.size]
        yield Generation(self.answer, self.version, "stop", 0, 0, 0.0, 0.0)


MODEL = RepeatingModel(lambda prompt, k: "")
TRANSLATOR = LlmTranslator(MODEL)


async def attempt_of(answer: str, question: Utterance, piece: int | None = None) -> TranslationAttempt:
    """Translate with an answer that arrives in pieces of a given size.

    Raises:
        NonRetryableError: the answer is rejected.
    """
    MODEL.answer, MODEL.size = answer, piece or max(1, len(answer))
    return await RepairingTranslator(TRANSLATOR, lambda: None).translate(question)


@pytest.mark.parametrize("tag", LANGUAGES)
async def test_wrapper_is_removed(tag: str) -> None:
    wrong = {}
    for answer in wrapped_answers(tag):
        try:
            text = (await attempt_of(answer, Utterance(SOURCE, "en", tag), 5)).text
        except NonRetryableError as error:
            text = str(error)
        if text != LANGUAGES[tag][0]:
            wrong[answer] = text
    assert wrong == {}


@pytest.mark.parametrize(("said", "source", "target", "right"), GOOD_ANSWERS)
async def test_wrapper_in_the_source_text_stays(said: str, source: str, target: str, right: str) -> None:
    assert (await attempt_of(right, Utterance(said, source, target))).text == right


@pytest.mark.parametrize("case", [case for path in CASES for case in json.loads(path.read_text())], ids=str)
@pytest.mark.parametrize("piece", [None, 1, 7])
async def test_single_cases(case: dict[str, str], piece: int | None) -> None:
    question = Utterance(case["source"], case.get("source_language", "en"), case["target"])
    want, _, refused = case["want"].partition(" or refused")
    try:
        answer = await attempt_of(case["answer"].replace("\x00", ""), question, piece)
    except NonRetryableError:
        assert refused or want == "refused or warned"
        return
    assert answer.warnings if want == "refused or warned" else answer.text == want


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("<think>The user wants a translation of this", "reasoning_effort"),
        ("<think>The user wants a translation of this.</think>", "enable_thinking"),
        ("<|channel|>analysis<|message|>We need to translate.", "reasoning off"),
        ("Bom dia<|im_sep|> a todos, vamos começar a reunião de hoje.", "more than a translation"),
        ("Bom dia a todos.</s> Vamos começar a reunião.", "more than a translation"),
        ('{"translation": "Bom dia a todos, vamos', "more than a translation"),
        ('{"greeting": "Bom dia a todos", "rest": "vamos começar"}', "more than a translation"),
        ("1. Bom dia a todos\n2. Bom dia para todos", "more than a translation"),
        ("Bom dia a todos, vamos vamos vamos. Bom dia. Bom dia. Bom dia. Bom dia. Bom dia.", "repeated itself"),
        ("早上好早上好早上好早上好早上好", "."),
        ("Error: model not found", "error message"),
        ("Internal Server Error", "error message"),
        ("openai.RateLimitError: Error code: 429", "error message"),
        ("Erro: modelo não encontrado", "error message"),
        ('{"error": "model not found"}', "more than a translation"),
        ('{"error": {"message": "bad"}}', "more than a translation"),
        ("<html><body>502 Bad Gateway</body></html>", "error message"),
        ("<error>busy</error>", "error message"),
        ("null", "gave no text"),
        ("N/A", "gave no text"),
        ("[inaudible]", "gave no text"),
        ("(silence)", "gave no text"),
        ("*laughs*", "gave no text"),
        ("👍", "gave no text"),
        ("...", "gave no text"),
    ],
)
async def test_invalid_output_is_rejected_with_the_reason(answer: str, reason: str) -> None:
    with pytest.raises(RejectedOutputError, match=reason):
        await attempt_of(answer, Utterance(SOURCE, "en", "pt"))


RAMBLING = "\n".join(f"E também, como sempre, falamos do ponto número {n} da lista." for n in range(1, 9))


@pytest.mark.parametrize(
    ("answer", "given"),
    [
        (f"{LANGUAGES['pt-BR'][0]}\n\n{RAMBLING}\n", 150),
        (f"<think>Easy.\nReally.</think>\n{LANGUAGES['pt-BR'][0]}\n{RAMBLING}\n", 180),
    ],
)
async def test_answer_is_stopped_after_a_complete_first_line(answer: str, given: int) -> None:
    question, came = Utterance(SOURCE, "en", "pt"), ""
    MODEL.answer, MODEL.size = answer, 3
    with pytest.raises(RejectedOutputError, match="more than a translation"):
        async for piece in TRANSLATOR.generate(question):
            came += str(piece)
    # The answer stops after the first line and the next, before the length limit for wrappers.
    assert len(came) < given


@pytest.mark.parametrize(
    "answer",
    [
        "{t}\nNota: o tom foi mantido.\nE mais nada.\n\nE também isto.\nE isto.",
        "{t}\n\n---\nNote: x\nAnd y.\nAnd z.",
        "{t}\nUser: what next?\nAssistant: nothing.\nUser: OK.",
        "The user greets all.\nIt is a meeting.\nTradução:\n{t}",
        "Aqui está a tradução:\n\n{t}\n\nNota: formal.\nE mais.",
        "{s}\n\n{t}\n\nNote: formal.\nMore.",
    ],
)
async def test_long_notes_do_not_reject_a_valid_answer(answer: str) -> None:
    right = LANGUAGES["pt-BR"][0]
    for piece in (1, 5, 1_000):
        attempt = await attempt_of(answer.format(t=right, s=SOURCE), Utterance(SOURCE, "en", "pt"), piece)
        assert attempt.text == right


@pytest.mark.parametrize(
    ("target", "right", "romanised"),
    [
        ("zh", "大家早上好，我们开始今天的会议吧。", "Dàjiā zǎoshang hǎo, wǒmen kāishǐ jīntiān de huìyì ba."),
        ("ja", "皆さん、今日の会議を始めましょう。", "Minasan, kyō no kaigi o hajimemashō."),
        ("ko", "여러분, 오늘 회의를 시작하겠습니다.", "Yeoreobun, oneul hoeuireul sijakhagetseumnida."),
        ("ru", "Доброе утро всем, давайте начнём совещание.", "Dobroye utro vsem, davayte nachnyom soveshchaniye."),
        ("ar", "صباح الخير جميعًا، لنبدأ اجتماع اليوم.", "Sabah al-khayr jamian, linabda ijtima alyawm."),
        ("hi", "सभी को सुप्रभात, आज की बैठक शुरू करें।", "Sabhi ko suprabhat, aaj ki baithak shuru karen."),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        "{t} ({r})",
        "{t}({r})",
        "{t}（{r}）",
        "{t} [{r}]",
        "{t}\n{r}",
        "{t}\n\n({r})",
        "{t} {r}",
        "{t} / {r}",
        "{t}\nPinyin: {r}",
    ],
)
async def test_romanisation_after_a_translation_is_removed(target: str, right: str, romanised: str, form: str) -> None:
    answer = await attempt_of(form.format(t=right, r=romanised), Utterance(SOURCE, "en", target))
    assert answer.text == right


@pytest.mark.parametrize(
    ("said", "target", "right"),
    [
        ("We use Google Cloud Platform now.", "zh", "我们现在使用 Google Cloud Platform"),
        ("We use GCP now.", "zh", "我们现在使用 Google Cloud Platform"),
        ("We use a new tool (Kubernetes).", "ja", "新しいツール (Kubernetes) を使います。"),
        ("Run git push force.", "zh", "运行。git push force"),
        ("Hello, Bob Ray.", "ru", "Привет. Bob Ray"),
    ],
)
async def test_latin_words_of_a_translation_stay(said: str, target: str, right: str) -> None:
    assert (await attempt_of(right, Utterance(said, "en", target))).text == right


@pytest.mark.parametrize(
    ("source", "said", "target", "answer"),
    [
        ("zh-Hans", "我们现在开始今天的会议吧。", "zh-Hant", "我们现在开始今天的会议吧。"),
        ("zh-Hant", "我們現在開始今天的會議吧。", "zh-CN", "我們現在開始今天的會議吧。"),
        ("en", SOURCE, "zh-TW", "大家早上好，我们开始今天的会议吧。"),
        ("en", SOURCE, "zh-HK", "大家早上好，我们开始今天的会议吧。"),
        ("en", SOURCE, "yue", "大家早上好，我们开始今天的会议吧。"),
        ("en", SOURCE, "zh", "大家早安，我們開始今天的會議吧。"),
        ("en", SOURCE, "sr-Cyrl", "Dobro jutro svima, počnimo današnji sastanak."),
    ],
)
async def test_answer_in_the_other_script_is_rejected(source: str, said: str, target: str, answer: str) -> None:
    with pytest.raises(RejectedOutputError, match="did not answer in"):
        await attempt_of(answer, Utterance(said, source, target))


@pytest.mark.parametrize(
    ("target", "answer"),
    [
        ("sr", "Dobro jutro svima, počnimo današnji sastanak."),
        ("sr", "Добро јутро свима, почнимо данашњи састанак."),
        ("uz", "Ҳаммага хайрли тонг, бугунги йиғилишни бошлаймиз."),
        ("kk", "Barlyǵyńyzǵa qaıyrly tań, búgingi jınalysty bastaıyq."),
    ],
)
async def test_tag_without_a_script_accepts_all_scripts(target: str, answer: str) -> None:
    assert (await attempt_of(answer, Utterance(SOURCE, "en", target))).text == answer
