"""Tests of the quality check of names and addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve.translation.quality import named_entities
from serve.translation.quality.named_entities import missing_names

PEOPLE = ("Rosa Silva", "May", "A", "speaker 2")


@pytest.mark.parametrize(
    ("said", "answer", "target"),
    [
        ("GPT4 is fast.", "O GPT-4 é rápido.", "pt"),
        ("GPT-4 is fast.", "ＧＰＴ４は速い。", "ja"),
        ("Take v2.1.", "Use a v2.1.", "pt"),
        ("The iPhones are here.", "Os iPhone chegaram.", "pt"),
        ("The H100s are here.", "As H100 chegaram.", "pt"),
        ("It is on GitHub.", "Está no GitHub.", "pt"),
        ("It is on PowerPoint.", "パワーポイントにあります。", "ja"),
        ("Write to ann@example.org.", "Escreva para ann@example.org.", "pt"),
        ("See https://example.org/plan.", "https://example.org/planをご覧ください。", "ja"),
        ("See example.com/plan, please.", "Veja example.com/plan, por favor.", "pt"),
        ("See (https://example.org/plan/).", "Veja https://example.org/plan.", "pt"),
        ("See https://example.org.", "Katso https://example.org:ssa.", "fi"),
        ("Ask @bob_ray.", "Pergunte ao @bob_ray, por favor.", "pt"),
        ("Ask @bob_ray.", "@bob_rayさんに聞いてください。", "ja"),
        ("It is in /usr/local/bin.", "Está em /usr/local/bin.", "pt"),
        ("It is in C:\\Users\\Ann.", "Está em C:\\Users\\Ann.", "pt"),
        ("Open src/main.py now.", "Abra src/main.py agora.", "pt"),
        ("Open report_v2.pdf now.", "report_v2.pdfを開いてください。", "ja"),
        ("Set max_tokens.", "Defina max_tokens.", "pt"),
        ("See bit.ly/3xYz now.", "Veja bit.ly/3xYz agora.", "pt"),
        ("See example.ai.", "example.aiを見てください。", "ja"),
        ("See example.co.uk.", "Katso example.co.uk:ssa.", "fi"),
        ("See example.com.", "Veja example.com/ agora.", "pt"),
        ("It is on \\\\server\\share\\plan.docx.", "Está em \\\\server\\share\\plan.docx.", "pt"),
        ("Clone git@github.com:a/b.git.", "Clone git@github.com:a/b.git agora.", "pt"),
        ("It is in docs/.", "Está em docs/.", "pt"),
        ("It is in the logs/ folder.", "在logs/里。", "zh"),
        ("Ask in #dev-ops.", "#dev-opsで聞いてください。", "ja"),
        ("Ask @bob.", "Kérdezd meg @bob-ot.", "hu"),
        ("Ask @bob.", "Kérj segítséget @bob-tól.", "hu"),
        ("See src/main.py.", "Lásd a src/main.py-ban.", "hu"),
        ("See example.com.", "Nézd meg az example.com-on.", "hu"),
        ("Ask in #dev.", "Kérdezd a #dev-ben.", "hu"),
        ("Ask @bob.", "Zapytaj @bob-a.", "pl"),
        ("Yes/ no, he/ she, either/or.", "Sim ou não.", "pt"),
        ("It is, e.g. at 5 p.m. in the U.S.A. and C#.", "É isso.", "pt"),
        ("He and/or she, 24/7, at 5 km/h w/o a break.", "Ele e ela, sempre, a 5 km por hora sem pausa.", "pt"),
        ("Yes / no / maybe", "Sim / não / talvez", "pt"),
        ("Q3 and H1 of FY2025 in mid-2024", "terceiro trimestre", "pt"),
        ("The PhD student knows the USA, TVs and X-rays.", "O doutorando conhece os EUA.", "pt"),
        ("We met in Edinburgh on Monday.", "Encontramo-nos em Edimburgo na segunda-feira.", "pt"),
        ("I asked Rosa.", "Perguntei à Rosa.", "pt"),
        ("Roses are red, I said.", "Rosas são vermelhas.", "pt"),
        ("Rosa knows.", "Ela sabe.", "pt"),
        ("I asked. Rosa knows.", "Ela sabe.", "pt"),
        ("I asked Rosa.", "Я спросил Розу.", "ru"),
        ("I asked Rosa.", "Es paprasiau jos.", "lt"),
        ("I asked Rosa.", "Zapytałem Róży.", "pl"),
        ("We meet in May.", "Encontramo-nos em maio.", "pt"),
        ("The mRNA is a PoC of 5 kWh.", "O ARNm é uma prova de conceito.", "pt"),
        ("The eCommerce team", "El equipo de comercio electrónico", "es"),
        ("It is 5 m2 in T3.", "É isso.", "pt"),
    ],
)
def test_name_in_another_spelling_is_not_missing(said: str, answer: str, target: str) -> None:
    assert missing_names(said, answer, "en", target, PEOPLE) == []


@pytest.mark.parametrize(
    ("said", "answer", "target", "missed"),
    [
        ("GPT4 is fast.", "O modelo é rápido.", "pt", ["GPT4"]),
        ("GPT4 is fast.", "モデルは速い。", "ja", ["GPT4"]),
        ("Take v2.1.", "Use a v2.2.", "pt", ["v2.1"]),
        ("The iPhone is here.", "電話が来ました。", "ja", ["iPhone"]),
        ("It is on GitHub.", "Está lá.", "pt", ["GitHub"]),
        ("Write to ann@example.org.", "Escreva para ana@example.org.", "pt", ["ann@example.org"]),
        ("See https://example.org/plan, please.", "Veja o plano.", "pt", ["https://example.org/plan"]),
        ("I asked Rosa about it.", "Perguntei a ela.", "pt", ["Rosa"]),
        ("GPT4 and GPT4", "nada", "pt", ["GPT4"]),
        ("Ask @bob_ray.", "Pergunte ao -bob_ray.", "pt", ["@bob_ray"]),
        ("Ask @bob_ray.", "Pergunte ao @bob_ray2.", "pt", ["@bob_ray"]),
        ("Ask @bob_ray.", "Pergunte ao @bobray.", "pt", ["@bob_ray"]),
        ("See https://a.example.org/x.", "Veja https://a.example.org/x/y.", "pt", ["https://a.example.org/x"]),
        ("See https://a.example.org/x.", "Veja https://a.example.org/x-y.", "pt", ["https://a.example.org/x"]),
        ("See https://a.example.org/x.", "Veja http://a.example.org/x.", "pt", ["https://a.example.org/x"]),
        ("See https://a.example.org/Plan.", "Veja https://a.example.org/plano.", "pt", ["https://a.example.org/Plan"]),
        ("Mail ann@example.org.", "Escreva a joann@example.org.", "pt", ["ann@example.org"]),
        ("Mail ann@example.org.", "Escreva a ann@example.org.br.", "pt", ["ann@example.org"]),
        ("It is in /usr/local/bin.", "Está em /usr/local/bin/x.", "pt", ["/usr/local/bin"]),
        ("It is in /usr/local/bin.", "Está em /usr/locais/bin.", "pt", ["/usr/local/bin"]),
        ("It is in ~/notes.", "Está em ~/notas.", "pt", ["~/notes"]),
        ("Open src/main.py now.", "Abra src/principal.py agora.", "pt", ["src/main.py"]),
        ("Open C:\\Users\\Ann.", "Abra C:\\Usuários\\Ann.", "pt", ["C:\\Users\\Ann"]),
        ("Set max_tokens.", "Defina max-tokens.", "pt", ["max_tokens"]),
        ("See bit.ly/3xYz.", "Veja bit.ly/3xyz.", "pt", ["bit.ly/3xYz"]),
        ("See example.ai.", "Veja exemplo.ai.", "pt", ["example.ai"]),
        ("See example.ai.", "Veja example.ia.", "pt", ["example.ai"]),
        ("See example.co.uk.", "Veja example.com.uk.", "pt", ["example.co.uk"]),
        ("See example.com.", "Veja example.com.br.", "pt", ["example.com"]),
        ("Open \\\\server\\a\\b.docx.", "Abra \\\\servidor\\a\\b.docx.", "pt", ["\\\\server\\a\\b.docx"]),
        ("Clone git@github.com:a/b.git.", "Clone git@github.com:a/c.git.", "pt", ["git@github.com:a/b.git"]),
        ("Open src/main.py.", "Abra src/main.py.bak.", "pt", ["src/main.py"]),
        ("It is in docs/.", "Está em documentos/.", "pt", ["docs/"]),
        ("It is in src/app/ now.", "Está em src/aplicação/ agora.", "pt", ["src/app/"]),
        ("Ask in #dev-ops.", "Pergunte em #devops.", "pt", ["#dev-ops"]),
        ("Ask @bob.", "Pergunte ao @bob-ot.", "pt", ["@bob"]),
        ("Ask @bob.", "Kérdezd meg @bob-rayt.", "hu", ["@bob"]),
    ],
)
def test_absent_name_is_missing(said: str, answer: str, target: str, missed: list[str]) -> None:
    assert missing_names(said, answer, "en", target, PEOPLE) == missed


@pytest.mark.parametrize(
    ("said", "answer", "missed"),
    [
        ("詳細はhttps://example.com/docsを見てください。", "See https://example.com/docs for details.", []),
        ("请发到ann@example.com给我。", "Send it to ann@example.com.", []),
        ("请发到ann@example.com给我。", "Send it.", ["ann@example.com"]),
        ("このGPT4を使います。", "We use GPT-4.", []),
        ("このGPT4を使います。", "We use it.", ["GPT4"]),
        ("我们用GitHub。", "We use it.", ["GitHub"]),
    ],
)
def test_names_in_scripts_without_spaces_are_found(said: str, answer: str, missed: list[str]) -> None:
    assert missing_names(said, answer, "ja", "en") == missed


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "piece",
    [
        "1",
        "a.",
        "a-",
        "1,",
        "１万",
        "@a.",
        "a@a.a ",
        "aA",
        "a1 ",
        "Rosa ",
        "a Rosa",
        " ",
        "www.",
        "a/",
        "\\a",
        "#a-",
        "a",
        "a.b/",
    ],
)
def test_long_text_finishes_in_time(piece: str) -> None:
    text = piece * (20_000 // len(piece))
    missing_names(text, text, "en", "pt", PEOPLE)
    missing_names(text, "nada", "en", "pt", PEOPLE)


@given(st.text(), st.text(), st.sampled_from(["pt", "ja", "ar"]))
def test_any_text_is_accepted(said: str, answer: str, target: str) -> None:
    missing_names(said, answer, "en", target, PEOPLE)


def test_german_nouns_are_not_taken_for_names() -> None:
    assert missing_names("Wir sahen Koch dort.", "We saw the cook there.", "de", "en", ["Eva Koch"]) == []


@given(st.text(max_size=80), st.sampled_from(["pt", "ja", "ru"]))
def test_identical_text_misses_no_name(text: str, target: str) -> None:
    assert missing_names(text, text, "en", target, PEOPLE) == []


@given(st.from_regex(r"[a-z]{1,6}[0-9]{1,3}", fullmatch=True), st.text(alphabet="abc .,", max_size=30))
def test_name_with_digits_is_kept_or_missing(name: str, around: str) -> None:
    said = f"we take {name} now"
    assert missing_names(said, f"{around} {name} {around}", "en", "pt") == []
    if not named_entities._PERIOD_OR_UNIT.fullmatch(name):
        assert missing_names(said, around, "en", "pt") == [name]
