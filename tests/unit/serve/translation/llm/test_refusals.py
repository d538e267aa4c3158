"""Tests of the detection of a model's refusals."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.word_lists import read_word_lists
from serve.text.languages import LANGUAGES_WITHOUT_SPACES
from serve.translation.llm.refusals import is_refusal
from tests.harness.data.ami_corpus import AMI_FOLDER, MEETING_NAMES, needs_ami


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that.",
        "I’m sorry, I cannot translate this.",
        "Unfortunately, I am unable to help with this request.",
        "As an AI language model, I have no opinion.",
        "Desculpe, mas não posso ajudar com isso.",
        "Como uma IA, não tenho opinião.",
        "Sou um modelo de linguagem.",
        "Lo siento, pero no puedo ayudar con eso.",
        "Je suis désolé, mais je ne peux pas vous aider.",
        "Es tut mir leid, aber ich kann das nicht übersetzen.",
        "Als KI habe ich keine Meinung.",
        "Mi dispiace, ma non posso aiutarti.",
        "Het spijt me, maar ik kan dit niet vertalen.",
        "Przykro mi, ale nie mogę w tym pomóc.",
        "Извините, но я не могу с этим помочь.",
        "申し訳ありませんが、お手伝いできません。",
        "抱歉，我无法回答这个问题。",
        "作为一个AI，我没有意见。",
        "죄송하지만 도와드릴 수 없습니다.",
        "Please provide the text that you want me to translate.",
        "Por favor, forneça o texto.",
        "I can't help with that.",
        "I cannot assist with this request.",
        "I'm unable to translate this content.",
        "I'm sorry, I can't fulfill that request.",
        "Não posso ajudar com isso.",
        "Desculpe, não consigo traduzir isso.",
        "عذراً، لا أستطيع المساعدة في ذلك.",
        "As an AI, I cannot do that.",
        "As an AI assistant, I can't do that.",
        "En tant qu'IA, je n'ai pas d'avis.",
        "Ich kann Ihnen dabei leider nicht helfen.",
        "Üzgünüm, bu konuda yardımcı olamam.",
        "抱歉，我无法翻译这段内容。",
        "This request was blocked by the content filter.",
        "I'm not able to continue this conversation.",
        "This content violates our policies.",
        "Good morning! How can I help you today?",
        "Peço desculpas, mas não consigo continuar com este pedido.",
        "Este conteúdo viola nossas políticas.",
        "Olá! Em que posso ajudar hoje?",
        "Lo siento, no puedo continuar con esta solicitud.",
        "Este contenido infringe nuestras políticas.",
        "Désolé, je ne peux pas poursuivre cette demande.",
        "Ce contenu enfreint nos règles.",
        "Es tut mir leid, ich kann mit dieser Anfrage nicht fortfahren.",
        "Dieser Inhalt verstößt gegen unsere Richtlinien.",
        "Mi dispiace, non posso continuare con questa richiesta.",
        "Questo contenuto viola le nostre norme.",
        "Sorry, ik kan niet verdergaan met dit verzoek.",
        "Przepraszam, nie mogę kontynuować tej prośby.",
        "Извините, я не могу выполнить этот запрос.",
        "Этот контент нарушает наши правила.",
        "Üzgünüm, bu isteğe devam edemem.",
        "該內容違反了我們的政策。",
        "抱歉，我不能继续这个请求。",
        "申し訳ございませんが、このリクエストを続行できません。",
        "このコンテンツはポリシーに違反しています。",
        "죄송하지만 이 요청을 계속할 수 없습니다.",
        "이 콘텐츠는 정책을 위반합니다.",
        "عذراً، لا يمكنني متابعة هذا الطلب.",
    ],
)
def test_refusal_of_a_model_is_detected(answer: str) -> None:
    assert is_refusal(answer, "We have to send the budget to the customer.", "en")
    assert is_refusal(answer, "Wir müssen dem Kunden das Budget schicken.", "de-AT")


@pytest.mark.parametrize("name", ["inabilities", "self_references", "text_requests", "rejections", "offers"])
def test_the_ends_of_a_phrase_are_not_optional(name: str) -> None:
    for language, phrases in read_word_lists("serve.translation.llm", "refusals")[name].items():
        for phrase in phrases:
            assert "" not in list(phrase[-1]), phrase
            assert "" not in list(phrase[0]) or language in LANGUAGES_WITHOUT_SPACES, phrase


@pytest.mark.parametrize(
    ("said", "source", "answer"),
    [
        ("I'm sorry, but I can't come.", "en", "Desculpe, mas não posso ir."),
        ("Excuse me, I can't hear you.", "en", "Desculpe, não consigo ouvir você."),
        ("Desculpa, mas não posso ir.", "pt", "Sorry, but I can't come."),
        ("Leider kann ich nicht kommen.", "de", "Unfortunately, I can't come."),
        ("すみません、行けません。", "ja", "Sorry, I can't come."),
        ("We can't come.", "en", "Não podemos ir."),
        ("I regret that.", "en", "Lamento isso."),
        ("As an AI company we are growing.", "en", "Como uma IA, estamos crescendo."),
        ("Please give me the text.", "en", "Por favor, forneça o texto."),
        ("恐怕我今天不能参加。", "zh", "I'm afraid I can't attend today."),
        ("Sorry, ich kann heute nicht.", "de", "Sorry, I can't today."),
        ("Sadly, I can't come.", "en", "Leider kann ich nicht kommen."),
        ("My bad, I can't find the file.", "en", "Tut mir leid, ich kann die Datei nicht finden."),
        ("I feel I can't do more.", "en", "Siento que no puedo hacer más."),
        ("In this discussion I can't take sides.", "en", "In questa discussione non posso schierarmi."),
        ("In parliament it is not possible.", "en", "No parlamento não é possível."),
        ("We can't help but agree.", "en", "Não podemos deixar de concordar."),
        ("Damit kann ich dir nicht weiterhelfen.", "de", "I can't help with that."),
        ("Nisso eu não consigo dar uma mão.", "pt", "I can't help with that."),
        ("I can't help you with that.", "en", "Je ne peux pas vous aider."),
        ("As I was saying, we have time.", "en", "Como ia dizendo, temos tempo."),
        ("As an executive assistant, I write the minutes.", "en", "En tant qu'assistant de direction, je rédige."),
        ("بصفتنا شركة ذكاء اصطناعي، نحتاج إلى بيانات.", "ar", "As an AI company, we need data."),
        ("Bir yapay zeka şirketi olarak veriye ihtiyacımız var.", "tr", "As an AI company, we need data."),
        ("Tekoälynä en voi tietää.", "fi", "As an AI, I can't know."),
        ("Mandami il testo.", "it", "Please send me the text."),
        ("Stuur me de tekst.", "nl", "Please send me the text."),
        ("Lähetä teksti.", "fi", "Please provide the text."),
        ("We can't go on with this order.", "en", "Não podemos continuar com este pedido."),
        ("That goes against the rules of our site.", "en", "Este conteúdo viola nossas regras."),
        ("The site was blocked.", "en", "O conteúdo foi bloqueado."),
        ("How can I help?", "en", "Como posso ajudar?"),
        ("What can I do for you?", "en", "Wie kann ich Ihnen helfen?"),
        # A language without patterns here.
        ("En voi auttaa siinä.", "fi", "I can't help with that."),
    ],
)
def test_apology_of_a_speaker_is_no_refusal(said: str, source: str, answer: str) -> None:
    assert not is_refusal(answer, said, source)


@needs_ami
@pytest.mark.parametrize("name", MEETING_NAMES)
def test_human_translations_of_a_real_meeting_are_no_refusals(name: str) -> None:
    for sentence in json.loads((AMI_FOLDER / f"{name}.reference.json").read_text())["sentences"]:
        assert not is_refusal(sentence["ja"], sentence["text"], "en")
        assert not is_refusal(sentence["text"], sentence["ja"], "ja")


@given(st.text(max_size=100), st.text(max_size=100), st.sampled_from(["en", "ja", "ar", "pt-BR"]))
def test_text_is_no_refusal_if_it_equals_its_source(said: str, more: str, source: str) -> None:
    assert not is_refusal(said, said, "fi")
    assert is_refusal(f"As an AI, {more}", "", source)
