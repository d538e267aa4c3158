"""Tests serve/http/intelligence/template_routes.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from operators.insights.templates import default_templates

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness"]

PATH = "/api/intelligence/templates"
RISKS = {"name": "risks", "prompt_template": "List the risks in $transcript. $instructions", "category": "risks"}


async def names(stage: ApiHarness) -> list[str]:
    return [each["name"] for each in (await stage.http.get(PATH)).json()["templates"]]


async def test_a_template_is_created_changed_and_deleted(stage: ApiHarness) -> None:
    assert await names(stage) == list(default_templates())
    created = await stage.http.post(PATH, json=RISKS)
    assert created.status_code == 201
    assert (created.json()["version"], created.json()["is_builtin"], created.json()["default_max_tokens"]) == (
        1,
        False,
        1024,
    )
    assert (await stage.http.post(PATH, json=RISKS)).status_code == 409
    content = {"prompt_template": "List all risks in $transcript.", "is_active": False}
    changed = (await stage.http.put(f"{PATH}/risks", json=content)).json()
    assert (changed["version"], changed["prompt_template"], changed["category"]) == (2, content["prompt_template"], "")
    assert (await stage.http.get(f"{PATH}/risks")).json() == changed
    assert await names(stage) == [*default_templates(), "risks"]
    assert (await stage.http.delete(f"{PATH}/risks")).status_code == 204
    assert (await stage.http.get(f"{PATH}/risks")).status_code == 404
    assert (await stage.http.delete(f"{PATH}/risks")).status_code == 404


async def test_a_default_can_be_changed_and_restored(stage: ApiHarness) -> None:
    path = f"{PATH}/meeting_summary"
    default = (await stage.http.get(path)).json()
    assert (await stage.http.delete(path)).json()["reason"] == "builtin"
    assert (await stage.http.post(PATH, json=RISKS | {"name": "meeting_summary"})).status_code == 409
    changed = (await stage.http.put(path, json={"prompt_template": "Sum up $transcript."})).json()
    assert (changed["version"], changed["is_builtin"]) == (2, True)
    assert await names(stage) == list(default_templates())
    assert (await stage.http.delete(path)).status_code == 204
    assert (await stage.http.get(path)).json() == default


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"prompt_template": "List $everything."}, "prompt_template", "must not name $everything"),
        ({"system_prompt": "$"}, "system_prompt", "has a `$` without a name"),
        ({"name": "Risks!"}, "name", ""),
        ({"default_max_tokens": 10**9}, "default_max_tokens", ""),
        ({"metadata": {"a": float("1e308")}, "unknown": 1}, "unknown", ""),
    ],
)
async def test_an_invalid_template_names_its_field(
    stage: ApiHarness, fields: dict[str, Any], field: str, words: str
) -> None:
    answer = await stage.http.post(PATH, json=RISKS | fields)
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert words in error["detail"]
