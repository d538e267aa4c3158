"""Tests flows/insight/note_templates.py."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from flows.insight.note_templates import NoteTemplates
from operators.insights.templates import AUTO_NOTE, TemplateContent, default_templates
from operators.note_requests import NoteRequest, NoteSentence, note_insight_request
from storage.connections import sync_engine
from storage.insights.template_queries import change_template

pytestmark = pytest.mark.usefixtures("clean_database")

REQUEST = NoteRequest("default", "m", "n", "pt", (NoteSentence("1.0", 1, "Ann", None, "Hello.", 0.0, 1.0),))


async def test_a_team_s_own_template_is_used_unless_it_is_switched_off(aengine: AsyncEngine, engine: Engine) -> None:
    assert await NoteTemplates(engine).read("default") == default_templates()[AUTO_NOTE]
    for is_active, task in ((True, "Only the numbers."), (False, note_insight_request(REQUEST).task)):
        content = TemplateContent(prompt_template="Only the numbers.", default_max_tokens=99, is_active=is_active)
        async with aengine.begin() as conn:
            await change_template(conn, "default", AUTO_NOTE, content)
        template = await NoteTemplates(engine).read("default")
        assert note_insight_request(REQUEST, template).task == task


async def test_without_a_database_the_default_is_used() -> None:
    away = sync_engine("postgresql://nobody@127.0.0.1:1/none")
    assert await NoteTemplates(away).read("default") == default_templates()[AUTO_NOTE]
    away.dispose()


def test_an_analysis_may_be_longer_than_a_running_note() -> None:
    analysis = NoteRequest("default", "m", "n", "pt", REQUEST.sentences, "List the questions.")
    assert note_insight_request(analysis).max_tokens > note_insight_request(REQUEST).max_tokens
    assert note_insight_request(analysis).task == "List the questions."
