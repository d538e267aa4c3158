"""serve/dashboard: the reason for late captions if an engine has a problem."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from playwright.async_api import Browser

from operators.engine_config import EnginesConfig, OpenAiConfig
from storage.postgres.engine_config_versions import record_problems, save_config
from tests.harness.api.page_reader import open_reader
from tests.harness.lane.fake_lane_writer import create_written_meeting, make_sentence

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.page_reader"]
pytestmark = pytest.mark.main_path

PROBLEM_TEXT = "echo-1 on gateway: the model's server refuses the key"


async def test_engine_problem_is_shown_while_it_lasts(stage: ApiHarness, browser: Browser) -> None:
    gateway = OpenAiConfig(url="http://gateway/v1", model="echo-1")
    with stage.engine.begin() as connection:
        version = save_config(
            connection, EnginesConfig(engines={"gateway": gateway}, translation=("gateway",)), "request"
        )
        record_problems(connection, version.version, {"translation-gateway": "the model's server refuses the key"})
    meeting, lane = await create_written_meeting(stage)
    lane.write_sentences(make_sentence("1.0", "Sentence 1.", 1))
    async with open_reader(browser, str(stage.http.base_url)) as reader:
        await reader.open_live_meeting(meeting)
        await reader.wait_for_text(PROBLEM_TEXT)
        assert await reader.page.locator(".models").is_visible()
        with stage.engine.begin() as connection:
            record_problems(connection, version.version, {})
        await reader.wait_for(f"!document.querySelector('.models').textContent.includes({json.dumps(PROBLEM_TEXT)})")
