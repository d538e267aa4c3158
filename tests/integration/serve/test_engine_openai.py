"""A model on an OpenAI-style server: what it is sent, and what each of its refusals means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import structlog

from cluster.ports import free_port
from cluster.roles import plan_models
from cluster.settings import Settings
from operators.errors import Malformed, Misconfigured, ParleyError, SetupFailed, Unavailable
from operators.models import OpenAi
from operators.translation import CaptionStatus, TranslationRequest
from serve.app import build_translation
from serve.config import TranslationArguments
from serve.engines.engine import Generation, Message, Prompt, Unanswerable, whole
from serve.engines.making import Maker
from serve.engines.openai import OpenAiEngine
from serve.options import TranslationOptions
from serve.translation import TranslationService
from tests.harness.openai_server import KEY, MALFORMED, MODEL, Asked, openai_server

Server = tuple[str, Asked]


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    with openai_server() as server:
        yield server


def prompt(text: str, max_tokens: int = 50) -> Prompt:
    return Prompt((Message("system", "Say it back."), Message("user", text)), max_tokens)


async def test_it_is_sent_the_prompt_and_what_is_to_go_along(server: Server) -> None:
    url, asked = server
    engine = OpenAiEngine(url, MODEL, KEY, {"reasoning_effort": "none", "temperature": 0.5})
    answer = await whole(engine.generate(prompt("We begin now.", 2)))
    assert (answer.text, answer.model, answer.finish) == ("We begin", MODEL, "length")
    assert (answer.prompt_tokens, answer.tokens) == (3, 2)
    assert 0 < answer.first <= answer.seconds
    assert asked.bodies == [
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
        ("status 413", Unanswerable, "refuses this question: 413", None),
        ("status 400", Unanswerable, "refuses this question: 400", None),
        ("status 403", Unanswerable, "refuses this question: 403", None),
        ("as:moderated We begin here", Unanswerable, "400 data_inspection_failed .*inappropriate content", None),
        ("status 402", Misconfigured, "account", None),
        ("status 401", Misconfigured, "refuses the key", None),
        ("status 404", Misconfigured, "has no such API", None),
        ("status 408", Unavailable, "answers 408", None),
        ("status 409", Unavailable, "answers 409", None),
        ("status 425", Unavailable, "answers 425", None),
        ("status 429 7", Unavailable, "answers 429", 7.0),
        ("status 429", Unavailable, "answers 429", None),
        ("status 503 soon", Unavailable, "answers 503", None),
        ("status 500", Unavailable, "answers 500", None),
        ("We break-off here", Unavailable, "broke off", None),
        ("We fail here", Unavailable, "answers 500", None),
        ("as:error-within We here", Unavailable, "answers 503", None),
        ("as:error:429 here", Unavailable, "answers 429", None),
        ("as:error:503 here", Unavailable, "answers 503", None),
        ("as:error:rate_limit_exceeded here", Unavailable, "answers 503", None),
        ("as:error:invalid_api_key here", Misconfigured, "refuses the key", None),
        ("as:error:model_not_found here", Misconfigured, "doesn't know the model", None),
        ("as:error:content_filter here", Unanswerable, "refuses this question: 400", None),
        ("as:error:odd here", Malformed, "an error in place of an answer", None),
        ("as:thinking-only here", Unanswerable, "PARLEY_TRANSLATION_BODY", None),
        ("as:whole as:thinking-only here", Unanswerable, "PARLEY_TRANSLATION_BODY", None),
        *((f"We send:{k} here", Unavailable, "sent no answer", None) for k in range(len(MALFORMED))),
        ("We finish:content_filter here", Unanswerable, "content_filter", None),
        ("We finish:insufficient_system_resource here", Unavailable, "insufficient_system_resource", None),
        ("We finish:network_error here", Unavailable, "broke off .*network_error", None),
        ("finish:eos here", Unavailable, "broke off", None),
    ],
)
async def test_a_refusal_is_for_good_only_where_the_question_is_at_fault(
    server: Server, said: str, kind: type[ParleyError], words: str, wait: float | None
) -> None:
    engine = OpenAiEngine(server[0], MODEL, KEY)
    with pytest.raises(kind, match=words) as caught:
        await whole(engine.generate(prompt(said)))
    assert "here" not in str(caught.value)
    if isinstance(caught.value, Unavailable):
        assert caught.value.wait == wait
    # The next one is answered as ever.
    assert (await whole(engine.generate(prompt("Yes.")))).text == "Yes."
    await engine.close()


@pytest.mark.parametrize(
    "reason", ["stop", "eos", "eos_token", "STOP", "end_turn", "tool_calls", "日本", "", "stop_sequence"]
)
async def test_an_answer_with_text_is_whole_whatever_word_its_end_has(server: Server, reason: str) -> None:
    engine = OpenAiEngine(server[0], MODEL, KEY)
    answer = await whole(engine.generate(prompt(f"We begin. finish:{reason}")))
    assert (answer.text, answer.finish) == ("We begin.", "stop")
    await engine.close()


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "model_length"])
async def test_an_answer_that_was_cut_off_is_so_whatever_word_its_end_has(server: Server, reason: str) -> None:
    engine = OpenAiEngine(server[0], MODEL, KEY)
    answer = await whole(engine.generate(prompt(f"We begin. finish:{reason}")))
    assert (answer.text, answer.finish) == ("We begin.", "length")
    await engine.close()


async def test_a_server_here_is_asked_past_the_environment_s_proxy_and_a_key_s_newline_is_none_of_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    engine = OpenAiEngine(server[0], MODEL, f"{KEY}\n")
    assert (await whole(engine.generate(prompt("Yes.")))).text == "Yes."
    await engine.close()


async def test_a_wrong_key_and_a_wrong_model_are_found_by_the_health_check(server: Server) -> None:
    for engine, words in (
        (OpenAiEngine(server[0], MODEL, "sk-other"), "refuses the key"),
        (OpenAiEngine(server[0], "other", KEY), "doesn't know the model"),
    ):
        with pytest.raises(Unavailable, match=words):
            await engine.check_health()
        await engine.close()


async def test_a_server_that_is_away_is_asked_again_later() -> None:
    engine = OpenAiEngine(f"http://127.0.0.1:{free_port()}/v1", MODEL)
    with pytest.raises(Unavailable, match="nobody answers"):
        await whole(engine.generate(prompt("Yes.")))
    with pytest.raises(Unavailable):
        await engine.check_health()
    await engine.close()


async def test_many_at_once_share_no_answers(server: Server) -> None:
    engine = OpenAiEngine(server[0], MODEL, KEY)
    answers = await asyncio.gather(*(whole(engine.generate(prompt(f"number {n}"))) for n in range(200)))
    assert [each.text for each in answers] == [f"number {n}" for n in range(200)]
    assert all(isinstance(each, Generation) for each in answers)
    await engine.close()


async def test_the_service_translates_by_it_and_refuses_what_is_no_translation(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It says back what it was asked: what was said, in the wrong language, with words of the prompt before it.
    settings = Settings(translator="openai", translation_url=server[0], translation_key=KEY, translation_model=MODEL)
    plan = plan_models(settings)
    assert KEY not in repr(plan)
    assert plan.words == "translating with echo-1 on 127.0.0.1"
    monkeypatch.setenv("PARLEY_TRANSLATION_KEY", KEY)
    engine = plan.config.engines["openai"]
    maker = Maker(engine)
    service = TranslationService(maker.translator, 10, maker.change)
    with pytest.raises(Unavailable, match="was not told yet"):
        await service.check_health()
    await service.reconfigure(engine.model_dump())
    said = TranslationRequest("default", "m", "s1", 1, "pt", "en", "The meeting starts on Monday at ten.")
    answer = await service.translate(said)
    assert (answer.status, answer.text, answer.engine) == (CaptionStatus.UNTRANSLATED, None, "openai echo-1")
    await service.check_health()
    await service.__del__()


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
async def test_a_sentence_ends_as_it_should_in_each_form_of_answer(
    server: Server, how: str, said: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PARLEY_TRANSLATION_KEY", KEY)
    url, asked = server
    asked.says = lambda line: said
    maker = Maker(OpenAi(url=url, model=MODEL))
    service = TranslationService(maker.translator, 10, maker.change)
    await service.reconfigure({"kind": "openai", "url": url, "model": MODEL, "key": "PARLEY_TRANSLATION_KEY"})
    text = f"The meeting starts on Monday at ten. {how}".strip()
    answer = await service.translate(TranslationRequest("default", "m", "s1", 1, "pt", "en", text))
    if reason is None:
        assert (answer.status, answer.text) == (CaptionStatus.TRANSLATED, RIGHT)
    else:
        assert answer.status is CaptionStatus.UNTRANSLATED
        assert reason in str(answer.reason)
        assert "Monday" not in str(answer.reason)
    await service.__del__()


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
def test_a_server_that_is_not_named_whole_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(SetupFailed, match=words):
        plan_models(Settings(translator="openai", **given))


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "openai", "model": "m"}, "url"),
        ({"kind": "openai", "url": "http://gateway/v1"}, "model"),
        ({"kind": "openai", "url": "http://gateway/v1?key=sk-secret", "model": "m"}, "url"),
        ({"kind": "openai", "url": "http://me:sk-secret@gateway/v1", "model": "m"}, "url"),
    ],
)
def test_so_it_is_in_a_config_file_of_serve_s(given: dict[str, str], field: str) -> None:
    with pytest.raises(ValueError, match=field) as caught:
        TranslationArguments.model_validate({"engine": given})
    assert "sk-secret" not in str(caught.value)


def test_a_key_that_the_environment_does_not_have_is_asked_for() -> None:
    with pytest.raises(SetupFailed, match="PARLEY_NOWHERE_KEY holds no key"):
        build_translation(TranslationOptions(OpenAi(url="http://gateway/v1", model="m", key="PARLEY_NOWHERE_KEY")))


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
async def test_a_parameter_that_the_server_does_not_take_is_left_out_and_told_of_once(
    server: Server, unsupported: tuple[str, ...]
) -> None:
    url, asked = server
    asked.unsupported = unsupported
    asked.says = lambda line: line
    engine = OpenAiEngine(url, MODEL, KEY)
    with structlog.testing.capture_logs() as logs:
        assert (await whole(engine.generate(prompt("We begin now.")))).text == "We begin now."
        first = len(asked.bodies)
        assert first == 1 + len(unsupported)
        # From then on each question is sent once.
        assert [(await whole(engine.generate(prompt("Yes.")))).text for _ in range(3)] == ["Yes."] * 3
    assert len(asked.bodies) == first + 3
    [line] = logs
    assert line["parameters"] == list(engine.omitted)
    assert len(engine.omitted) == len(unsupported)
    body = asked.bodies[-1]
    assert not set(unsupported) & set(body)
    assert ("max_completion_tokens" in body) == ("max_tokens" in unsupported and len(unsupported) != 2)
    told = [message["content"] for message in body["messages"]]
    assert told == (["Say it back.\n\nYes."] if "system" in unsupported else ["Say it back.", "Yes."])
    await engine.close()


async def test_a_parameter_that_the_operator_asks_for_is_not_left_out(server: Server) -> None:
    url, asked = server
    asked.unsupported = ("temperature",)
    engine = OpenAiEngine(url, MODEL, KEY, {"temperature": 0.5})
    with pytest.raises(Unanswerable, match="'temperature'"):
        await whole(engine.generate(prompt("Yes.")))
    assert (len(asked.bodies), engine.omitted) == (1, ())
    await engine.close()


async def test_a_refusal_that_only_quotes_a_parameter_changes_nothing(server: Server) -> None:
    engine = OpenAiEngine(server[0], MODEL, KEY)
    with pytest.raises(Unanswerable, match="data_inspection_failed"):
        await whole(engine.generate(prompt("as:moderated The temperature is not supported.")))
    assert engine.omitted == ()
    assert (await whole(engine.generate(prompt("Yes.")))).text == "Yes."
    assert "temperature" in server[1].bodies[-1]
    await engine.close()
