"""`parley doctor` and `parley up` request a token from model servers, and report their problems."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.diagnostics import engine_checks
from cluster.ports import find_free_port
from cluster.runtime.local_system import LocalSystem
from cluster.settings import Settings
from operators.errors import SetupError
from serve.deploy import preflight
from tests.harness.doubles.openai_server import API_KEY, EMBEDDING_MODEL, MODEL, OpenAiServerState, openai_server

Server = tuple[str, OpenAiServerState]


@pytest.fixture
def server() -> Iterator[Server]:
    with openai_server() as server:
        yield server


def make_settings(url: str, role: str = "translation", **changes: Any) -> Settings:
    kind = {"translation": {"translator": "openai"}, "insight": {"insight": "openai", "translator": "none"}}[role]
    fields: dict[str, Any] = {f"{role}_url": url, f"{role}_key": API_KEY, f"{role}_model": MODEL, **kind}
    return Settings.model_validate(fields | changes)


def server_off(state: OpenAiServerState) -> dict[str, Any]:
    return {"translation_url": f"http://127.0.0.1:{find_free_port()}/v1"}


def no_such_model(state: OpenAiServerState) -> dict[str, Any]:
    return {"translation_model": "other"}


def key_refused(state: OpenAiServerState) -> dict[str, Any]:
    return {"translation_key": "sk-secret-0123456789"}


def parameter_refused(state: OpenAiServerState) -> dict[str, Any]:
    state.unsupported_parameters = ("reasoning_effort",)
    return {"translation_body": {"reasoning_effort": "none"}}


def payment_required(state: OpenAiServerState) -> dict[str, Any]:
    state.refusal_status = 402
    return {}


PROBLEMS = pytest.mark.parametrize(
    ("arrange", "words"),
    [
        (server_off, "no server answers at 127.0.0.1:.*: start the server"),
        (no_such_model, "doesn't know the model.* 404 The model other does not exist"),
        (key_refused, "refuses the key"),
        (parameter_refused, "refuses every question: 400 .*'reasoning_effort'"),
        (payment_required, "requires payment"),
    ],
)


@PROBLEMS
def test_doctor_reports_the_servers_error(
    server: Server, arrange: Callable[[OpenAiServerState], Any], words: str
) -> None:
    finding = engine_checks.check_translation(make_settings(server[0], **arrange(server[1])), ())
    assert (finding.state, finding.blocks) == ("problem", True)
    with pytest.raises(SetupError, match=words):
        raise SetupError(finding.advice)
    assert "secret" not in str(finding)


@PROBLEMS
def test_up_reports_a_server_error_before_ray_starts(
    server: Server,
    arrange: Callable[[OpenAiServerState], Any],
    words: str,
    postgres_url: str,
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # `parley up` sets this variable for Ray's processes.
    monkeypatch.setenv("PARLEY_TRANSLATION_KEY", API_KEY)
    monkeypatch.setattr("cluster.runtime.local_system.start_ray", lambda *_, **__: pytest.fail("Ray was started"))
    stores = {"postgres_url": postgres_url, "redis_url": redis_url, "port": find_free_port()}
    with pytest.raises(SetupError, match=words) as caught:
        LocalSystem(make_settings(server[0], **arrange(server[1]), **stores), tmp_path).start()
    assert "does not translate" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_working_server_is_ok_and_unsupported_parameters_are_reported(server: Server) -> None:
    url, state = server
    assert engine_checks.check_translation(make_settings(url), ()).state == "ok"
    assert len(state.bodies) == 1
    assert state.bodies[0]["max_tokens"] == 1
    state.unsupported_parameters = ("temperature", "max_tokens")
    finding = engine_checks.check_translation(make_settings(url), ())
    assert (finding.state, finding.blocks) == ("ok", False)
    assert finding.found.endswith("; asked without max_tokens, temperature, which its server does not take")


def test_a_server_that_loads_its_model_is_awaited(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "TOKEN_TIMEOUT_S", 0.5)
    server[1].loading_s = 60.0
    finding = engine_checks.check_translation(make_settings(server[0]), ())
    assert (finding.state, finding.blocks) == ("loading", False)
    assert "may be loading its model; captions wait for it" in finding.advice


def test_an_insight_server_never_blocks() -> None:
    finding = engine_checks.check_insight(make_settings(f"http://127.0.0.1:{find_free_port()}/v1", "insight"), ())
    assert (finding.state, finding.blocks) == ("problem", False)
    assert finding.found == f"{MODEL} on 127.0.0.1: as configured"
    assert "no server answers" in finding.advice


def test_an_embedding_server_is_requested_an_embedding_and_never_blocks(server: Server) -> None:
    url, state = server
    fields = {"embedding": "openai", "embedding_url": url, "embedding_key": API_KEY, "embedding_model": EMBEDDING_MODEL}
    # The other roles' servers are checked by themselves.
    settings = make_settings(url, **fields, insight="openai", insight_url=url, insight_model=MODEL)
    finding = engine_checks.check_embedding(settings, ())
    assert (finding.state, finding.found) == ("ok", f"{EMBEDDING_MODEL} on 127.0.0.1: as configured")
    assert [body["input"] for body in state.bodies] == [["OK?"]]
    assert engine_checks.check_translation(settings, ()).state == "ok"
    # A model that answers prompts gives no embeddings.
    wrong = engine_checks.check_embedding(settings.model_copy(update={"embedding_model": MODEL}), ())
    assert (wrong.state, wrong.blocks) == ("problem", False)
    assert "doesn't know the model" in wrong.advice
