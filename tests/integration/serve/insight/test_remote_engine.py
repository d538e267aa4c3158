"""Tests of the insight service with a remote engine."""

from __future__ import annotations

import pytest

from operators.engine_config import OpenAiConfig
from operators.errors import UnavailableError
from operators.insight_requests import InsightRequest, InsightRole
from serve.deploy.engine_factory import EngineFactory
from serve.insight.insight_service import InsightService
from tests.harness.doubles.openai_server import API_KEY, MODEL, openai_server

REQUEST = InsightRequest(
    "default", "m", InsightRole.INSIGHT, "", ("Ann: Good morning.",), "Sum it up.", "en", max_tokens=20
)


async def test_remote_engine_is_swapped_while_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_INSIGHT_KEY", API_KEY)
    with openai_server() as (url, _):
        maker = EngineFactory(OpenAiConfig(url=url, model="other"))
        running = InsightService(maker.create_language_model, swap_engine=maker.swap)
        with pytest.raises(UnavailableError, match="is not configured yet"):
            await running.answer(REQUEST)
        spec = OpenAiConfig(url=url, model=MODEL, key="PARLEY_INSIGHT_KEY")
        await running.reconfigure(spec.model_dump())
        assert (await running.answer(REQUEST)).engine == f"openai {MODEL}"
        await running.reconfigure(spec.model_copy(update={"model": "other"}).model_dump())
        with pytest.raises(UnavailableError, match="doesn't know the model"):
            await running.answer(REQUEST)
        await running.close()
