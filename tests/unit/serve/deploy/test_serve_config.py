"""Tests of the builders for `serve deploy`, validated by Serve's own code."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from ray.serve._private.api import call_user_app_builder_with_args_if_necessary as build

from operators.errors import SetupError
from serve.app_options import ApiOptions, TranslationOptions
from serve.deploy import serve_config
from serve.deploy.serve_config import ApiArguments, TranslationArguments

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
            "'firefox', 'vllm', 'llamacpp', 'openai', 'proxy', 'triton'",
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
        ("api", {"postgres_url": "postgresql://me:swordfish@db/parley"}, "postgres_url", "not permitted"),
    ],
)
def test_invalid_argument_is_named_without_its_value(
    builder: str, arguments: dict[str, Any], field: str, fix: str, stores: None
) -> None:
    with pytest.raises(ValidationError) as caught:
        build(getattr(serve_config, builder), arguments)
    [error] = caught.value.errors()
    assert ".".join(error["loc"]) == field
    assert fix in error["msg"]
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


@pytest.mark.parametrize(
    ("arguments", "options", "configured_otherwise"),
    [
        (TranslationArguments, TranslationOptions, set()),
        (ApiArguments, ApiOptions, {"postgres_url", "redis_url", "replicas", "cpus", "ongoing", "queued"}),
    ],
)
def test_every_option_can_be_configured(arguments: Any, options: Any, configured_otherwise: set[str]) -> None:
    """An option that is no argument is set in the file's `deployments` or in the environment."""
    assert set(arguments.model_fields) == {each.name for each in fields(options)} - configured_otherwise
    same = {each.name: each.default for each in fields(options) if each.name not in configured_otherwise | {"engine"}}
    assert arguments().model_dump(exclude={"engine"}) == same


def test_missing_model_is_reported_before_any_start() -> None:
    with pytest.raises(SetupError, match="/nowhere is no folder"):
        build(serve_config.translation, {"engine": {"kind": "vllm", "model": "/nowhere"}})
