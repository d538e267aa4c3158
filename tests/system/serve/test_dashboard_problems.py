"""serve/dashboard tells why captions are late, where an engine answers nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Browser

from operators.models import ModelsConfig, OpenAi
from storage.configs import note_problems, save
from tests.harness.browser import reading
from tests.harness.scribe import begin, sentence

if TYPE_CHECKING:
    from tests.harness.api_server import Stage

pytest_plugins = ["tests.harness.api_server", "tests.harness.browser"]
pytestmark = pytest.mark.main_path

WORDS = "echo-1 on gateway: the model's server refuses the key"


async def test_what_keeps_an_engine_from_translating_is_shown_while_it_does(stage: Stage, browser: Browser) -> None:
    gateway = OpenAi(url="http://gateway/v1", model="echo-1")
    with stage.engine.begin() as connection:
        version = save(connection, ModelsConfig(engines={"gateway": gateway}, translation=("gateway",)), "request")
        note_problems(connection, version.version, {"translation-gateway": "the model's server refuses the key"})
    meeting, lane = await begin(stage)
    lane.say(sentence("1.0", "Sentence 1.", 1))
    async with reading(browser, str(stage.http.base_url)) as reader:
        await reader.follow(meeting)
        await reader.shown(WORDS)
        assert await reader.page.locator(".models").is_visible()
        with stage.engine.begin() as connection:
            note_problems(connection, version.version, {})
        await reader.until(f"!document.querySelector('.models').textContent.includes({json.dumps(WORDS)})")
