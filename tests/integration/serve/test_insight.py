"""serve/insight.py with an engine elsewhere."""

from __future__ import annotations

import pytest

from operators.errors import Unavailable
from operators.insight import InsightRequest, Role
from operators.models import OpenAi
from serve.engines.making import Maker
from serve.insight import InsightService
from tests.harness.openai_server import KEY, MODEL, openai_server

REQUEST = InsightRequest("default", "m", Role.INSIGHT, "", ("Ann: Good morning.",), "Sum it up.", "en", max_tokens=20)


async def test_an_engine_elsewhere_becomes_another_one_while_it_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARLEY_INSIGHT_KEY", KEY)
    with openai_server() as (url, _):
        maker = Maker(OpenAi(url=url, model="other"))
        running = InsightService(maker.language_model, change=maker.change)
        with pytest.raises(Unavailable, match="was not told yet"):
            await running.answer(REQUEST)
        spec = OpenAi(url=url, model=MODEL, key="PARLEY_INSIGHT_KEY")
        await running.reconfigure(spec.model_dump())
        assert (await running.answer(REQUEST)).engine == f"openai {MODEL}"
        await running.reconfigure(spec.model_copy(update={"model": "other"}).model_dump())
        with pytest.raises(Unavailable, match="doesn't know the model"):
            await running.answer(REQUEST)
        await running.__del__()
