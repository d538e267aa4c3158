"""Tests serve/engines/remote/hot_swap.py."""

from __future__ import annotations

import asyncio

import pytest

from operators.engine_config import EngineConfig, OpenAiConfig
from operators.errors import SetupError, UnavailableError
from serve.engines.protocol import Generation, Message, Prompt, TokenStream, collect
from serve.engines.remote.hot_swap import HotSwapEngine

PROMPT = Prompt((Message("user", "?"),), 10)


class GatedModel:
    """Answers with its model's name once `may_answer` is set."""

    name = "slow"

    def __init__(self, model: str) -> None:
        self.version = model
        self.may_answer = asyncio.Event()
        self.is_closed = False

    async def generate(self, question: Prompt) -> TokenStream:
        await self.may_answer.wait()
        assert not self.is_closed
        yield self.version
        yield Generation(self.version, self.version, "stop", 0, 0, 0.0, 0.0)

    async def check_health(self) -> None:
        pass

    async def close(self) -> None:
        self.is_closed = True


class GatedModelFactory:
    """Creates gated engines, and keeps them by model."""

    def __init__(self) -> None:
        self.models: dict[str, GatedModel] = {}

    def __call__(self, spec: EngineConfig) -> GatedModel:
        assert isinstance(spec, OpenAiConfig)
        if spec.model == "broken":
            raise SetupError("broken")
        return self.models.setdefault(spec.model, GatedModel(spec.model))


def server_config(model: str) -> OpenAiConfig:
    return OpenAiConfig(url="http://h/v1", model=model)


async def test_a_request_in_flight_ends_with_its_engine_which_is_then_closed() -> None:
    makes = GatedModelFactory()
    changing = HotSwapEngine(makes)
    assert changing.swap(server_config("old"))
    task = asyncio.create_task(collect(changing.generate(PROMPT)))
    await asyncio.sleep(0)
    assert changing.swap(server_config("new"))
    assert (changing.name, changing.version) == ("slow", "new")
    old, new = makes.models["old"], makes.models["new"]
    new.may_answer.set()
    assert (await collect(changing.generate(PROMPT))).text == "new"
    assert not old.is_closed
    old.may_answer.set()
    assert (await task).text == "old"
    await asyncio.sleep(0)
    assert old.is_closed
    await changing.close()
    assert new.is_closed


async def test_an_idle_engine_is_closed_at_once() -> None:
    makes = GatedModelFactory()
    changing = HotSwapEngine(makes)
    changing.swap(server_config("old"))
    changing.swap(server_config("new"))
    await asyncio.sleep(0)
    assert makes.models["old"].is_closed
    await changing.close()


async def test_the_same_configuration_is_no_change() -> None:
    changing = HotSwapEngine(GatedModelFactory())
    assert changing.swap(server_config("one"))
    assert not changing.swap(server_config("one"))
    await changing.close()


async def test_a_failed_swap_keeps_the_previous_engine() -> None:
    makes = GatedModelFactory()
    changing = HotSwapEngine(makes)
    changing.swap(server_config("good"))
    with pytest.raises(SetupError):
        changing.swap(server_config("broken"))
    assert changing.version == "good"
    # The current configuration changes nothing; and the broken one is tried again.
    assert not changing.swap(server_config("good"))
    await changing.close()


async def test_it_is_unavailable_before_its_first_configuration() -> None:
    changing = HotSwapEngine(GatedModelFactory())
    with pytest.raises(UnavailableError):
        await collect(changing.generate(PROMPT))
    with pytest.raises(UnavailableError):
        await changing.check_health()
    await changing.close()
