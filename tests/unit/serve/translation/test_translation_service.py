"""Tests of the translation service in Serve's local testing mode: as a replica runs it, without a cluster."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from functools import partial
from uuid import uuid4

import pytest
from ray import serve as ray_serve
from ray.serve._private.constants import REPLICA_HEALTH_CHECK_UNHEALTHY_THRESHOLD
from ray.serve.handle import DeploymentHandle

from operators.errors import UnavailableError
from operators.translation_requests import (
    CaptionStatus,
    ContextSentence,
    GlossaryEntry,
    Translation,
    TranslationRequest,
)
from serve.deploy.deployment import HEALTH_CHECK_PERIOD_S, HEALTH_CHECK_TIMEOUT_S
from serve.engines import health_check
from serve.engines.firefox.engine import FirefoxEngine
from serve.engines.health_check import PROBE_TIMEOUT_S, RECENT_OUTPUT_S
from serve.engines.protocol import Generation, NonRetryableError, TokenStream, Utterance
from serve.translation.translation_service import TranslationService

REQUEST = TranslationRequest("default", "m", "s1", 1, "pt-BR", "en", "The meeting starts on Monday.")


class ScriptedUtteranceEngine:
    """An engine with scripted answers."""

    name = "scripted"
    version = "1"
    sources = frozenset({"en", "pt"})

    def __init__(self) -> None:
        self.questions: list[Utterance] = []
        self.piece_count = 0
        self.answer: str | Exception = "Segunda."
        self.check_count = 0
        self.hangs = False
        self.is_closed = False

    def supports(self, source: str, target: str) -> bool:
        return source[:2] in ("en", "zh") and target.startswith("pt")

    async def generate(self, question: Utterance) -> TokenStream:
        self.questions.append(question)
        if isinstance(self.answer, Exception):
            raise self.answer
        for piece in self.answer.split(" "):
            self.piece_count += 1
            yield f"{piece} "
        yield Generation(self.answer, "scripted", "stop", 0, 0, 0.0, 0.0)

    async def check_health(self) -> None:
        self.check_count += 1
        if self.hangs:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer

    async def close(self) -> None:
        self.is_closed = True


_engines: dict[str, ScriptedUtteranceEngine] = {}


def engine_by_name(name: str) -> ScriptedUtteranceEngine:
    """Find the test's engine by name. Serve copies the arguments of an application, so the engine can't be one of them."""
    return _engines[name]


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> ScriptedUtteranceEngine:
    return _engines.setdefault(request.node.nodeid, ScriptedUtteranceEngine())


@pytest.fixture
def service(engine: ScriptedUtteranceEngine, request: pytest.FixtureRequest) -> DeploymentHandle:
    application = ray_serve.deployment(TranslationService).bind(partial(engine_by_name, request.node.nodeid), 3)
    return ray_serve.run(application, name=str(uuid4()), _local_testing_mode=True)


def translate(service: DeploymentHandle, **changes: object) -> Translation:
    return service.translate.remote(replace(REQUEST, **changes)).result(timeout_s=60)


def test_real_engine_translates_a_sentence() -> None:
    application = ray_serve.deployment(TranslationService).bind(FirefoxEngine, 100)
    handle = ray_serve.run(application, name="real", _local_testing_mode=True)
    answer = translate(handle, source_language=None)
    assert answer == Translation(
        CaptionStatus.TRANSLATED, "A reunião começa na segunda-feira.", f"firefox {FirefoxEngine.version}"
    )
    assert translate(handle, language="ja").reason == "no model translates en to ja"


@pytest.mark.parametrize(
    ("source", "target", "text", "status"),
    [
        ("zh", "zh-TW", "我們現在開始今天的會議吧。", CaptionStatus.SAME),
        (None, "zh-TW", "我們現在開始今天的會議吧。", CaptionStatus.SAME),
        ("zh-Hant", "zh", "我们现在开始今天的会议吧。", CaptionStatus.SAME),
        (None, "zh-HK", "我们现在开始今天的会议吧。", CaptionStatus.UNTRANSLATED),
        (None, "zh", "我們現在開始今天的會議吧。", CaptionStatus.UNTRANSLATED),
    ],
)
def test_chinese_script_decides_whether_text_stays_the_same(
    service: DeploymentHandle, source: str | None, target: str, text: str, status: CaptionStatus
) -> None:
    # This engine translates into Portuguese only.
    assert translate(service, source_language=source, language=target, text=text).status is status


@pytest.mark.parametrize(
    ("source", "target", "text"),
    [
        ("pt", "pt-BR", "Olá."),
        ("en", "en-GB", "Hello."),
        (None, "pt", "Obrigado pela reunião de hoje."),
        (None, "pt", "12"),
    ],
)
def test_text_in_the_target_language_stays(
    source: str | None, target: str, text: str, service: DeploymentHandle, engine: ScriptedUtteranceEngine
) -> None:
    answer = translate(service, source_language=source, language=target, text=text)
    assert (answer.status, answer.text, engine.questions) == (CaptionStatus.SAME, text, [])


def test_unsupported_language_pair_is_untranslated_with_the_reason(service: DeploymentHandle) -> None:
    answer = translate(service, language="ja")
    assert (answer.status, answer.text, answer.reason) == (
        CaptionStatus.UNTRANSLATED,
        None,
        "no model translates en to ja",
    )


def test_impossible_declared_language_is_ignored(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    assert translate(service, text="これは日本語です").reason == "no model translates ja to pt-BR"
    assert engine.questions == []


@pytest.mark.parametrize(
    ("nonsense", "reason"),
    [
        ("", "the engine gave no text"),
        (" \n", "the engine gave no text"),
        ("bla " * 200, "the engine's answer was many times as long as the source"),
        (NonRetryableError("the model failed"), "the model failed"),
    ],
)
def test_invalid_answer_is_untranslated(
    nonsense: str | Exception, reason: str, service: DeploymentHandle, engine: ScriptedUtteranceEngine
) -> None:
    engine.answer = nonsense
    answer = translate(service)
    assert (answer.status, answer.text, answer.reason) == (CaptionStatus.UNTRANSLATED, None, reason)


def test_endless_answer_is_stopped_early(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    engine.answer = "bla " * 100_000
    assert translate(service).status is CaptionStatus.UNTRANSLATED
    assert engine.piece_count < 1_000


def test_short_word_may_become_a_phrase(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    engine.answer = "Quem quer que seja."
    assert translate(service, text="W").status is CaptionStatus.TRANSLATED


def test_unavailable_error_reaches_the_caller(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    engine.answer = UnavailableError("later")
    with pytest.raises(UnavailableError, match="later"):
        translate(service)
    engine.answer = "Segunda."
    assert translate(service).status is CaptionStatus.TRANSLATED


def test_short_utterances_are_cached_for_any_context(
    service: DeploymentHandle, engine: ScriptedUtteranceEngine
) -> None:
    engine.answer = "Bom dia."
    assert not translate(service, text="Good morning.").cached
    again = translate(service, text="Good morning.", context=(ContextSentence("1.0", "Ana", "Hello."),))
    assert (again.text, again.cached, len(engine.questions)) == ("Bom dia.", True, 1)
    assert not translate(service, text="Good morning.", language="pt-PT").cached
    translate(service)
    assert not translate(service).cached


def test_other_teams_drafts_and_long_text_without_spaces_are_not_cached(
    service: DeploymentHandle, engine: ScriptedUtteranceEngine
) -> None:
    translate(service, text="Good morning.", is_draft=True)
    assert not translate(service, text="Good morning.").cached
    assert not translate(service, text="Good morning.", team_id="another").cached
    assert translate(service, text="Good morning.").cached
    for text, cached in (("他说已经发出去了，所以请大家再确认一下。", False), ("早上好。", True)):
        translate(service, text=text, source_language="zh")
        assert translate(service, text=text, source_language="zh").cached is cached


def test_cache_drops_the_oldest_utterance(service: DeploymentHandle) -> None:
    for text in ("One.", "Two.", "Three.", "One.", "Four."):
        translate(service, text=text)
    assert translate(service, text="One.").cached
    assert not translate(service, text="Two.").cached


def test_cache_of_size_0_caches_nothing(engine: ScriptedUtteranceEngine, request: pytest.FixtureRequest) -> None:
    application = ray_serve.deployment(TranslationService).bind(partial(engine_by_name, request.node.nodeid), 0)
    service = ray_serve.run(application, name=str(uuid4()), _local_testing_mode=True)
    translate(service, text="One.")
    assert not translate(service, text="One.").cached


def test_invalid_answer_is_not_cached(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    engine.answer = ""
    translate(service, text="Hi.")
    engine.answer = "Oi."
    assert translate(service, text="Hi.").text == "Oi."


BUDGET = (GlossaryEntry("budget", "orçamento"),)


def test_warnings_are_part_of_the_translation(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    engine.answer = "A verba é de 43 euros."
    answer = translate(service, text="The budget is 42 euros.", terms_in_text=BUDGET)
    assert (answer.status, answer.text) == (CaptionStatus.TRANSLATED, "A verba é de 43 euros.")
    assert answer.warnings == ("term: budget → orçamento", "number: 42")
    assert len(engine.questions) == 1
    engine.answer = "O orçamento é de 42 euros."
    assert translate(service, text="The budget is 42 euros.", terms_in_text=BUDGET).warnings == ()


def test_translation_with_warnings_is_not_cached(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    engine.answer = "A verba."
    assert translate(service, text="The budget.", terms_in_text=BUDGET).warnings
    engine.answer = "O orçamento."
    assert translate(service, text="The budget.", terms_in_text=BUDGET).text == "O orçamento."
    assert translate(service, text="The budget.", terms_in_text=BUDGET).cached


def test_glossary_and_style_are_part_of_the_cache_key(
    service: DeploymentHandle, engine: ScriptedUtteranceEngine
) -> None:
    engine.answer = "O orçamento."
    translate(service, text="The budget.", terms_in_text=BUDGET)
    for changes in (
        {},
        {"terms_in_text": (GlossaryEntry("budget", "verba"),)},
        {"terms_in_text": BUDGET, "style": "formal"},
    ):
        assert not translate(service, text="The budget.", **changes).cached
    assert not translate(service, text="The budget.", terms_in_text=BUDGET, glossary=BUDGET).cached


def test_engine_gets_glossary_and_style(service: DeploymentHandle, engine: ScriptedUtteranceEngine) -> None:
    translate(service, glossary=BUDGET, terms_in_text=BUDGET, style="formal")
    [asked] = engine.questions
    assert (asked.glossary, asked.terms, asked.style) == (BUDGET, BUDGET, "formal")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the exemption from health checks after recent output."""
    monkeypatch.setattr(health_check, "RECENT_OUTPUT_S", 0.0)


def test_health_check_calls_the_engine(
    service: DeploymentHandle, engine: ScriptedUtteranceEngine, impatient: None
) -> None:
    service.check_health.remote().result()
    engine.answer = UnavailableError("gone")
    with pytest.raises(UnavailableError):
        service.check_health.remote().result()


def test_health_check_is_skipped_after_recent_output(
    service: DeploymentHandle, engine: ScriptedUtteranceEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_check, "RECENT_OUTPUT_S", 600.0)
    engine.hangs = True
    translate(service)
    service.check_health.remote().result(timeout_s=60)
    assert engine.check_count == 0


def test_unresponsive_engine_is_replaced_within_half_a_minute() -> None:
    """Check the time from the last token by Serve's own rules. tests/integration/serve/deploy runs it on a real Ray."""
    starts = RECENT_OUTPUT_S + 1.1 * HEALTH_CHECK_PERIOD_S
    silent, stuck = (
        starts + REPLICA_HEALTH_CHECK_UNHEALTHY_THRESHOLD * each for each in (PROBE_TIMEOUT_S, HEALTH_CHECK_TIMEOUT_S)
    )
    assert silent < 27
    # If a replica's event loop hangs, every check times out, including the first.
    assert stuck - RECENT_OUTPUT_S < 30
    assert 1.1 * HEALTH_CHECK_PERIOD_S < PROBE_TIMEOUT_S < HEALTH_CHECK_TIMEOUT_S


def test_transcript_text_is_never_logged(
    service: DeploymentHandle,
    engine: ScriptedUtteranceEngine,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for answer in ("ein Geheimnis", "", NonRetryableError("no")):
        engine.answer = answer
        translate(
            service,
            text="A secret for your ears alone.",
            context=(ContextSentence("1.0", "Ana", "another secret"),),
            source_language=None,
        )
    out, err = capfd.readouterr()
    assert "ecret" not in caplog.text + out + err
