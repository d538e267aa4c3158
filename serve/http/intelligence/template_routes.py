"""Routes for the templates of insights."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, ConfigDict
from pydantic.config import JsonDict

from operators.insights.templates import InsightTemplate, TemplateContent, TemplateName
from serve.http.dependencies.services import ServicesDep
from serve.http.problems import problem_responses
from storage.insights import template_queries
from storage.records import DEFAULT_TEAM_ID

router = APIRouter(prefix="/api/intelligence/templates", tags=["intelligence"])

_EXAMPLE: JsonDict = {
    "name": "risks",
    "description": "Risks that were named.",
    "system_prompt": "You list risks.",
    "prompt_template": "List the risks in $transcript, one line each. $instructions",
    "expected_output_format": "markdown",
}
NamePath = Annotated[TemplateName, Path(description="The template's name.")]


class TemplateList(BaseModel):
    """The templates: the defaults first, then the team's own."""

    templates: list[InsightTemplate]


class CreateTemplateRequest(TemplateContent):
    """A new template. Its prompts may name `$transcript`, `$speakers`, `$duration`, `$language` and `$instructions`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    name: TemplateName


class ChangeTemplateRequest(TemplateContent):
    """The new content of a template, which replaces all of the present one."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{name: value for name, value in _EXAMPLE.items() if name != "name"}]}
    )


@router.get("")
async def list_templates(services: ServicesDep) -> TemplateList:
    """List the templates, those that are switched off included."""
    async with services.database.connect() as conn:
        return TemplateList(templates=list((await template_queries.read_templates(conn, DEFAULT_TEAM_ID)).values()))


@router.post("", status_code=201, responses=problem_responses(409))
async def create_template(request: CreateTemplateRequest, services: ServicesDep) -> InsightTemplate:
    """Create a template."""
    async with services.database.begin() as conn:
        return await template_queries.create_template(conn, DEFAULT_TEAM_ID, request.name, _content(request))


@router.get("/{name}", responses=problem_responses(404))
async def get_template(name: NamePath, services: ServicesDep) -> InsightTemplate:
    """Get a template."""
    async with services.database.connect() as conn:
        return await template_queries.read_template(conn, DEFAULT_TEAM_ID, name)


@router.put("/{name}", responses=problem_responses(404))
async def change_template(name: NamePath, request: ChangeTemplateRequest, services: ServicesDep) -> InsightTemplate:
    """Replace the content of a template, a default included. Insights keep the version that they were written by."""
    async with services.database.begin() as conn:
        return await template_queries.change_template(conn, DEFAULT_TEAM_ID, name, _content(request))


@router.delete("/{name}", status_code=204, response_class=Response, responses=problem_responses(404, 409))
async def delete_template(name: NamePath, services: ServicesDep) -> None:
    """Delete a template. A default that was changed is the default again."""
    async with services.database.begin() as conn:
        await template_queries.delete_template(conn, DEFAULT_TEAM_ID, name)


def _content(request: TemplateContent) -> TemplateContent:
    return TemplateContent(**request.model_dump(include=set(TemplateContent.model_fields)))
