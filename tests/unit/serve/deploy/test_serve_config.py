"""Tests of the builders for `serve deploy`, validated by Serve's own code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build

from operators.engine_config import parse_engine_config, parse_engines_config
from operators.errors import InvalidInputError, SetupError
from serve.app_options import ApiOptions, TranslationOptions
from serve.deploy import serve_config
from serve.deploy.builders import build_translation

ROOT = Path(__file__).parents[4]


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_POSTGRES_URL", "postgresql://me:swordfish@db/parley")
    monkeypatch.setenv("PARLEY_REDIS_URL", "rediss://:swordfish@cache/0")


def deployment(application: Any) -> Any:
    return application._bound_deployment


def test_translation_application_is_built_from_arguments() -> None:
    built = deployment(
        build(serve_config.translation, {"engine": {"kind": "firefox"}, "models": "/models", "cached": 7})
    )
    assert built.name == "TranslationService"
    make_engine, cached, _ = built.init_args
    assert (make_engine.__self__._models, cached) == (Path("/models"), 7)
    assert built.ray_actor_options["num_gpus"] == 0


@pytest.mark.parametrize(
    "engine",
    [
        {"kind": "firefox"},
        {"kind": "llamacpp", "model": "m.gguf", "replicas": 0, "most_replicas": 3, "cpus": 2, "gpus": 0.5},
        {"kind": "openai", "url": "http://127.0.0.1:1/v1", "model": "m", "replicas": 2, "ongoing": 5, "queued": 7},
    ],
)
def test_an_engine_gives_the_application_that_the_deployer_builds(engine: dict[str, Any]) -> None:
    """`serve deploy` takes an engine as `parley config set` does. The builder is the same, so are Serve's options."""
    configured = parse_engines_config({"engines": {"default": engine}, "translation": ["default"]}).engines["default"]
    deployed = deployment(build(serve_config.translation, {"engine": engine}))
    expected = deployment(build_translation(TranslationOptions(configured)))
    assert configured == parse_engine_config(engine)
    assert deployed._deployment_config == expected._deployment_config
    assert deployed.ray_actor_options == expected.ray_actor_options


def test_api_application_uses_the_stores_from_the_environment(stores: None) -> None:
    built = deployment(build(serve_config.api, {"hosts": ["parley.example.com"]}))
    [options] = built.init_args
    assert options == ApiOptions(
        "postgresql://me:swordfish@db/parley",
        "rediss://:swordfish@cache/0",
        hosts=("parley.example.com",),
    )


@pytest.mark.parametrize(
    ("builder", "arguments", "field", "fix"),
    [
        (
            "translation",
            {"engine": {"kind": "magic"}},
            "engine",
            "'firefox', 'vllm', 'llamacpp', 'e5', 'openai', 'proxy', 'triton'",
        ),
        ("translation", {"engine": {"kind": "vllm"}}, "engine.vllm.model", "Field required"),
        ("translation", {"cached": -1}, "cached", "greater than or equal to 0"),
        (
            "translation",
            {"engine": {"kind": "vllm", "model": "m", "arguments": "fast"}},
            "engine.vllm.arguments",
            "valid dictionary",
        ),
        ("api", {"max_body": "much"}, "max_body", "valid integer"),
        ("api", {"heartbeat": 0}, "heartbeat", "greater than 0"),
        ("api", {"postgres_url": "postgresql://me:swordfish@db/parley"}, "postgres_url", "set PARLEY_POSTGRES_URL"),
        ("api", {"postgres": "postgresql://me:swordfish@db/parley"}, "postgres", "Unexpected"),
    ],
)
def test_invalid_argument_is_named_without_its_value(
    builder: str, arguments: dict[str, Any], field: str, fix: str, stores: None
) -> None:
    with pytest.raises(InvalidInputError) as caught:
        build(getattr(serve_config, builder), arguments)
    assert caught.value.field == field
    assert fix in caught.value.fix
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize("name", ["PARLEY_POSTGRES_URL", "PARLEY_REDIS_URL"])
@pytest.mark.parametrize("value", [None, "http://:swordfish@db"])
def test_missing_store_url_is_an_error(
    name: str, value: str | None, stores: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(name)
    if value:
        monkeypatch.setenv(name, value)
    with pytest.raises(SetupError, match=f"{name} must begin with ") as caught:
        build(serve_config.api, {})
    assert "swordfish" not in str(caught.value)


def test_missing_model_is_reported_before_any_start() -> None:
    with pytest.raises(SetupError, match="/nowhere is no folder"):
        build(serve_config.translation, {"engine": {"kind": "vllm", "model": "/nowhere"}})
