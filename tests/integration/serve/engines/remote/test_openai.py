"""Tests serve/engines/remote/openai.py: requests, and the mapping of errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog

from cluster.engine_plan import plan_engines
from cluster.ports import find_free_port
from cluster.settings import Settings
from operators.engine_config import OpenAiConfig
from operators.errors import (
    InvalidInputError,
    MalformedResponseError,
    MisconfiguredError,
    ParleyError,
    SetupError,
    UnavailableError,
)
from operators.translation_requests import CaptionStatus, TranslationRequest
from serve.app_options import TranslationOptions
from serve.deploy import serve_config
from serve.deploy.builders import build_translation
from serve.deploy.engine_factory import EngineFactory
from serve.engines.protocol import Generation, Message, NonRetryableError, Prompt, collect
from serve.engines.remote.openai import OpenAiEngine
from serve.translation.translation_service import TranslationService
from tests.harness.doubles.openai_server import API_KEY, MALFORMED_CHUNKS, MODEL, OpenAiServerState, openai_server

Server = tuple[str, OpenAiServerState]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with openai_server() as server:
        yield server


def make_prompt(text: str, max_tokens: int = 50) -> Prompt:
    return Prompt((Message("system", "Say it back."), Message("user", text)), max_tokens)


async def test_the_prompt_and_the_extra_body_are_sent(server: Server) -> None:
    url, state = server
    engine = OpenAiEngine(url, MODEL, API_KEY, {"reasoning_effort": "none", "temperature": 0.5})
    answer = await collect(engine.generate(make_prompt("We begin now.", 2)))
    assert (answer.text, answer.model, answer.finish) == ("We begin", MODEL, "length")
    assert (answer.prompt_tokens, answer.completion_tokens) == (3, 2)
    assert 0 < answer.first_token_s <= answer.duration_s
    assert state.bodies == [
        {
            "model": MODEL,
            "messages": [{"role": "system", "content": "Say it back."}, {"role": "user", "content": "We begin now."}],
            "max_tokens": 2,
            "temperature": 0.5,
            "stream": True,
            "stream_options": {"include_usage": True},
            "reasoning_effort": "none",
        }
    ]
    await engine.close()


@pytest.mark.parametrize(
    ("said", "kind", "words", "wait"),
    [
        ("status 413", NonRetryableError, "refuses this request: 413", None),
        ("status 400", NonRetryableError, "refuses this request: 400", None),
        ("status 403", NonRetryableError, "refuses this request: 403", None),
        ("as:moderated We begin here", NonRetryableError, "400 data_inspection_failed .*inappropriate content", None),
        ("status 402", MisconfiguredError, "account", None),
        ("status 401", MisconfiguredError, "refuses the key", None),
        ("status 404", MisconfiguredError, "has no such API", None),
        ("status 408", UnavailableError, "answers 408", None),
        ("status 409", UnavailableError, "answers 409", None),
        ("status 425", UnavailableError, "answers 425", None),
        ("status 429 7", UnavailableError, "answers 429", 7.0),
        ("status 429", UnavailableError, "answers 429", None),
        ("status 503 soon", UnavailableError, "answers 503", None),
        ("status 500", UnavailableError, "answers 500", None),
        ("We break-off here", UnavailableError, "broke off", None),
        ("We fail here", UnavailableError, "answers 500", None),
        ("as:error-within We here", UnavailableError, "answers 503", None),
        ("as:error:429 here", UnavailableError, "answers 429", None),
        ("as:error:503 here", UnavailableError, "answers 503", None),
        ("as:error:rate_limit_exceeded here", UnavailableError, "answers 503", None),
        ("as:error:invalid_api_key here", MisconfiguredError, "refuses the key", None),
        ("as:error:model_not_found here", MisconfiguredError, "doesn't know the model", None),
        ("as:error:content_filter here", NonRetryableError, "refuses this request: 400", None),
        ("as:error:odd here", MalformedResponseError, "an error in place of an answer", None),
        ("as:thinking-only here", NonRetryableError, "PARLEY_TRANSLATION_BODY", None),
        ("as:whole as:thinking-only here", NonRetryableError, "PARLEY_TRANSLATION_BODY", None),
        *((f"We send:{k} here", UnavailableError, "sent no answer", None) for k in range(len(MALFORMED_CHUNKS))),
        ("We finish:content_filter here", NonRetryableError, "content_filter", None),
        ("We finish:insufficient_system_resource here", UnavailableError, "insufficient_system_resource", None),
        ("We finish:network_error here", UnavailableError, "broke off .*network_error", None),
        ("finish:eos here", UnavailableError, "broke off", None),
    ],
)
async def test_only_errors_of_the_request_itself_are_permanent(
    server: Server, said: str, kind: type[ParleyError], words: str, wait: float | None
) -> None:
    engine = OpenAiEngine(server[0], MODEL, API_KEY)
    with pytest.raises(kind, match=words) as caught:
        await collect(engine.generate(make_prompt(said)))
    assert "here" not in str(caught.value)
    if isinstance(caught.value, UnavailableError):
        assert caught.value.retry_after_s == wait
    # The next request is answered.
    assert (await collect(engine.generate(make_prompt("Yes.")))).text == "Yes."
    await engine.close()


@pytest.mark.parametrize(
    "reason", ["stop", "eos", "eos_token", "STOP", "end_turn", "tool_calls", "日本", "", "stop_sequence"]
)
async def test_text_with_an_unknown_finish_reason_is_complete(server: Server, reason: str) -> None:
    engine = OpenAiEngine(server[0], MODEL, API_KEY)
    answer = await collect(engine.generate(make_prompt(f"We begin. finish:{reason}")))
    assert (answer.text, answer.finish) == ("We begin.", "stop")
    await engine.close()


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "model_length"])
async def test_all_spellings_of_the_length_reason_are_known(server: Server, reason: str) -> None:
    engine = OpenAiEngine(server[0], MODEL, API_KEY)
    answer = await collect(engine.generate(make_prompt(f"We begin. finish:{reason}")))
    assert (answer.text, answer.finish) == ("We begin.", "length")
    await engine.close()


async def test_localhost_bypasses_the_proxy_and_the_key_is_stripped(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{find_free_port()}")
    engine = OpenAiEngine(server[0], MODEL, f"{API_KEY}\n")
    assert (await collect(engine.generate(make_prompt("Yes.")))).text == "Yes."
    await engine.close()


async def test_the_health_check_finds_a_wrong_key_and_a_wrong_model(server: Server) -> None:
    for engine, words in (
        (OpenAiEngine(server[0], MODEL, "sk-other"), "refuses the key"),
        (OpenAiEngine(server[0], "other", API_KEY), "doesn't know the model"),
    ):
        with pytest.raises(UnavailableError, match=words):
            await engine.check_health()
        await engine.close()


async def test_a_server_that_is_down_is_unavailable() -> None:
    engine = OpenAiEngine(f"http://127.0.0.1:{find_free_port()}/v1", MODEL)
    with pytest.raises(UnavailableError, match="can't be reached"):
        await collect(engine.generate(make_prompt("Yes.")))
    with pytest.raises(UnavailableError):
        await engine.check_health()
    await engine.close()


async def test_concurrent_answers_are_not_mixed_up(server: Server) -> None:
    engine = OpenAiEngine(server[0], MODEL, API_KEY)
    answers = await asyncio.gather(*(collect(engine.generate(make_prompt(f"number {n}"))) for n in range(50)))
    assert [each.text for each in answers] == [f"number {n}" for n in range(50)]
    assert all(isinstance(each, Generation) for each in answers)
    await engine.close()


async def test_the_service_translates_and_rejects_faulty_output(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It echoes the prompt: the source text, in the wrong language, after words of the prompt.
    settings = Settings(
        translator="openai", translation_url=server[0], translation_key=API_KEY, translation_model=MODEL
    )
    plan = plan_engines(settings)
    assert API_KEY not in repr(plan)
    assert plan.summary == "translating with echo-1 on 127.0.0.1"
    monkeypatch.setenv("PARLEY_TRANSLATION_KEY", API_KEY)
    engine = plan.config.engines["openai"]
    maker = EngineFactory(engine)
    service = TranslationService(maker.create_translator, 10, maker.swap)
    with pytest.raises(UnavailableError, match="is not configured yet"):
        await service.check_health()
    await service.reconfigure(engine.model_dump())
    said = TranslationRequest("default", "m", "s1", 1, "pt", "en", "The meeting starts on Monday at ten.")
    answer = await service.translate(said)
    assert (answer.status, answer.text, answer.engine) == (CaptionStatus.UNTRANSLATED, None, "openai echo-1")
    await service.check_health()
    await service.close()


RIGHT = "A reunião começa na segunda-feira às dez."


@pytest.mark.parametrize(
    ("how", "said", "reason"),
    [
        ("", RIGHT, None),
        ("as:whole", RIGHT, None),
        ("as:parts", RIGHT, None),
        ("as:null-delta", RIGHT, None),
        ("as:thinking", RIGHT, None),
        ("as:no-reason", RIGHT, None),
        ("", f"{RIGHT} finish:eos", None),
        ("", f"{RIGHT} finish:", None),
        ("", f"<think>\n\n</think>\n\n{RIGHT}", None),
        ("as:whole", f'```json\n{{"translation": "{RIGHT}"}}\n```', None),
        ("as:moderated", RIGHT, "400 data_inspection_failed Input data may contain inappropriate content"),
        ("as:thinking-only", RIGHT, "PARLEY_TRANSLATION_BODY"),
        ("", "Error: model not found", "error message"),
    ],
)
async def test_each_kind_of_answer_gives_the_expected_caption(
    server: Server, how: str, said: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_TRANSLATION_KEY", API_KEY)
    url, state = server
    state.reply_to = lambda line: said
    maker = EngineFactory(OpenAiConfig(url=url, model=MODEL))
    service = TranslationService(maker.create_translator, 10, maker.swap)
    await service.reconfigure({"kind": "openai", "url": url, "model": MODEL, "key": "PARLEY_TRANSLATION_KEY"})
    text = f"The meeting starts on Monday at ten. {how}".strip()
    answer = await service.translate(TranslationRequest("default", "m", "s1", 1, "pt", "en", text))
    if reason is None:
        assert (answer.status, answer.text) == (CaptionStatus.TRANSLATED, RIGHT)
    else:
        assert answer.status is CaptionStatus.UNTRANSLATED
        assert reason in str(answer.reason)
        assert "Monday" not in str(answer.reason)
    await service.close()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "PARLEY_TRANSLATION_URL, such as"),
        ({"translation_url": "http://127.0.0.1:1/v1"}, "PARLEY_TRANSLATION_MODEL"),
        *(
            ({"translation_url": url, "translation_model": "m"}, "must begin with http")
            for url in ("127.0.0.1:1/v1", "http://[::1/v1", "http://h:99999/v1", "http://a b/v1", "ftp://h/v1")
        ),
    ],
)
def test_an_incomplete_server_address_or_model_is_rejected(given: dict[str, str], words: str) -> None:
    with pytest.raises(SetupError, match=words):
        plan_engines(Settings(translator="openai", **given))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "openai", "model": "m"}, "url"),
        ({"kind": "openai", "url": "http://gateway/v1"}, "model"),
        ({"kind": "openai", "url": "http://gateway/v1?key=sk-secret", "model": "m"}, "url"),
        ({"kind": "openai", "url": "http://me:sk-secret@gateway/v1", "model": "m"}, "url"),
    ],
)
def test_serve_config_validates_the_server_as_well(given: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidInputError, match=field) as caught:
        serve_config.translation({"engine": given})
    assert "sk-secret" not in str(caught.value)


def test_a_missing_key_variable_is_named_in_the_error() -> None:
    with pytest.raises(SetupError, match="PARLEY_NOWHERE_KEY holds no key"):
        build_translation(
            TranslationOptions(OpenAiConfig(url="http://gateway/v1", model="m", key="PARLEY_NOWHERE_KEY"))
        )


@pytest.mark.parametrize(
    "unsupported",
    [
        ("max_tokens",),
        ("max_tokens", "max_completion_tokens"),
        ("temperature",),
        ("stream_options",),
        ("system",),
        ("max_tokens", "temperature", "stream_options", "system"),
    ],
)
async def test_an_unsupported_parameter_is_omitted_and_logged_once(
    server: Server, unsupported: tuple[str, ...]
) -> None:
    url, state = server
    state.unsupported_parameters = unsupported
    state.reply_to = lambda line: line
    engine = OpenAiEngine(url, MODEL, API_KEY)
    with structlog.testing.capture_logs() as logs:
        assert (await collect(engine.generate(make_prompt("We begin now.")))).text == "We begin now."
        first = len(state.bodies)
        assert first == 1 + len(unsupported)
        # From now on each request is sent once.
        assert [(await collect(engine.generate(make_prompt("Yes.")))).text for _ in range(3)] == ["Yes."] * 3
    assert len(state.bodies) == first + 3
    [line] = logs
    assert line["parameters"] == list(engine.omitted_parameters)
    assert len(engine.omitted_parameters) == len(unsupported)
    body = state.bodies[-1]
    assert not set(unsupported) & set(body)
    assert ("max_completion_tokens" in body) == ("max_tokens" in unsupported and len(unsupported) != 2)
    told = [message["content"] for message in body["messages"]]
    assert told == (["Say it back.\n\nYes."] if "system" in unsupported else ["Say it back.", "Yes."])
    await engine.close()


async def test_a_configured_parameter_is_never_omitted(server: Server) -> None:
    url, state = server
    state.unsupported_parameters = ("temperature",)
    engine = OpenAiEngine(url, MODEL, API_KEY, {"temperature": 0.5})
    with pytest.raises(NonRetryableError, match="'temperature'"):
        await collect(engine.generate(make_prompt("Yes.")))
    assert (len(state.bodies), engine.omitted_parameters) == (1, ())
    await engine.close()


async def test_an_error_that_only_quotes_a_parameter_omits_nothing(server: Server) -> None:
    engine = OpenAiEngine(server[0], MODEL, API_KEY)
    with pytest.raises(NonRetryableError, match="data_inspection_failed"):
        await collect(engine.generate(make_prompt("as:moderated The temperature is not supported.")))
    assert engine.omitted_parameters == ()
    assert (await collect(engine.generate(make_prompt("Yes.")))).text == "Yes."
    assert "temperature" in server[1].bodies[-1]
    await engine.close()
