"""The engine configuration: valid values, and the errors for invalid ones."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.engine_config import (
    EnginesConfig,
    FirefoxConfig,
    OpenAiConfig,
    VllmConfig,
    display_name,
    parse_engine_config,
    parse_engines_config,
)
from operators.errors import InvalidInputError

SERVER = {"kind": "openai", "url": "http://gateway:4000/v1", "model": "m"}
BOTH = {"engines": {"big": {"kind": "vllm", "model": "a/b"}, "small": {"kind": "firefox"}}}


def test_serve_app_names_list_the_preferred_engine_first() -> None:
    config = parse_engines_config(BOTH | {"translation": ["big", "small"], "insight": ["big"]})
    assert config.engines_for("translation") == ("big", "small")
    assert config.serve_app_names("translation") == ("translation-big", "translation-small")
    assert config.serve_app_names("insight") == ("insight-big",)
    assert config.serve_app_names("chat") == ()


@pytest.mark.parametrize(
    ("change", "field", "fix"),
    [
        ({"translation": ["huge"]}, "the configuration", "translation names huge, which is not among the engines"),
        ({"translation": ["big", "big"]}, "the configuration", "translation must not name an engine twice"),
        ({"insight": ["small"]}, "the configuration", "insight can't be served by small"),
        ({"embedding": ["big"]}, "the configuration", "embedding can't be served by big: only the kinds e5 and openai"),
        ({"embedding": ["small"]}, "the configuration", "embedding can't be served by small: Firefox's models only"),
        ({"engines": {"e5": {"kind": "e5"}}, "chat": ["e5"]}, "the configuration", "E5 only embeds texts"),
        ({"engines": {"Big One": {"kind": "firefox"}}}, "engines.Big One.[key]", "pattern"),
        ({"engines": {"a": {"kind": "magic"}}}, "engines.a", "'firefox', 'vllm'"),
        ({"engines": {"a": {"kind": "vllm"}}}, "engines.a.vllm.model", "Field required"),
        (
            {"engines": {"a": {"kind": "firefox", "replicas": 3, "most_replicas": 2}}},
            "engines.a.firefox",
            "not be less",
        ),
        ({"engines": {"a": SERVER | {"url": "gateway"}}}, "engines.a.openai.url", "must begin with http"),
        (
            {"engines": {"a": SERVER | {"url": "http://me:swordfish@h/"}}},
            "engines.a.openai.url",
            "`key` names the variable of a key",
        ),
        (
            {"engines": {"a": SERVER | {"url": "http://h/?key=swordfish"}}},
            "engines.a.openai.url",
            "`key` names the variable of a key",
        ),
        ({"engines": {"a": SERVER | {"key": "swordfish"}}}, "engines.a.openai.key", "PARLEY_"),
        ({"magic": 1}, "magic", "not permitted"),
    ],
)
def test_invalid_config_names_the_field_without_the_value(change: dict[str, Any], field: str, fix: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_engines_config(BOTH | change)
    assert caught.value.field == field
    assert fix in caught.value.fix
    assert "swordfish" not in str(caught.value)


def test_a_config_without_embeddings_has_no_field_that_older_releases_refuse() -> None:
    assert "embedding" not in EnginesConfig().model_dump_json()
    engines = {"e5": {"kind": "e5"}, "server": SERVER}
    config = parse_engines_config({"engines": engines, "embedding": ["e5", "server"]})
    assert parse_engines_config(config.model_dump_json()) == config
    assert config.serve_app_names("embedding") == ("embedding-e5", "embedding-server")
    assert (config.engines["e5"].replicas, config.engines["e5"].replica_limit) == (0, 1)


def test_invalid_json_is_rejected() -> None:
    with pytest.raises(InvalidInputError, match="Invalid JSON"):
        parse_engines_config("{")


@given(st.integers(0, 50), st.integers(1, 50) | st.none(), st.floats(0, 8), st.integers(1, 512))
def test_engine_config_survives_json(replicas: int, more: int | None, gpus: float, ongoing: int) -> None:
    most = None if more is None else max(replicas, 1) + more
    engine = VllmConfig(model="a/b", replicas=replicas, most_replicas=most, gpus=gpus, ongoing=ongoing)
    assert engine.replica_limit >= max(1, engine.replicas)
    config = EnginesConfig(engines={"big": engine}, translation=("big",))
    assert parse_engines_config(config.model_dump_json()) == config
    assert parse_engine_config(engine.model_dump()) == engine


def test_display_name_has_the_model_and_the_host_only() -> None:
    assert display_name(FirefoxConfig()) == "Firefox's models"
    assert display_name(VllmConfig(model="/models/Qwen3-4B")) == "Qwen3-4B in vLLM"
    assert display_name(OpenAiConfig(url="https://gateway.example:4000/v1/team", model="m")) == "m on gateway.example"
