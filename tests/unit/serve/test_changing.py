"""serve/engines/changing.py: an engine elsewhere that becomes another one while it is in use."""

from __future__ import annotations

import asyncio

import pytest

from operators.errors import SetupFailed, Unavailable
from operators.models import Engine, OpenAi
from serve.engines.changing import Changing
from serve.engines.engine import Answer, Generation, Message, Prompt, whole

PROMPT = Prompt((Message("user", "?"),), 10)


class Slow:
    """Answers with its model's name once it may."""

    name = "slow"

    def __init__(self, model: str) -> None:
        self.version = model
        self.may = asyncio.Event()
        self.closed = False

    async def generate(self, question: Prompt) -> Answer:
        await self.may.wait()
        assert not self.closed
        yield self.version
        yield Generation(self.version, self.version, "stop", 0, 0, 0.0, 0.0)

    async def check_health(self) -> None:
        pass

    async def close(self) -> None:
        self.closed = True


class Makes:
    """Makes slow engines, and keeps them."""

    def __init__(self) -> None:
        self.made: dict[str, Slow] = {}

    def __call__(self, spec: Engine) -> Slow:
        assert isinstance(spec, OpenAi)
        if spec.model == "broken":
            raise SetupFailed("broken")
        return self.made.setdefault(spec.model, Slow(spec.model))


def server(model: str) -> OpenAi:
    return OpenAi(url="http://h/v1", model=model)


async def test_a_question_ends_with_the_engine_it_began_with_which_is_closed_then() -> None:
    makes = Makes()
    changing = Changing(makes)
    assert changing.change(server("old"))
    asked = asyncio.create_task(whole(changing.generate(PROMPT)))
    await asyncio.sleep(0)
    assert changing.change(server("new"))
    assert (changing.name, changing.version) == ("slow", "new")
    old, new = makes.made["old"], makes.made["new"]
    new.may.set()
    assert (await whole(changing.generate(PROMPT))).text == "new"
    assert not old.closed
    old.may.set()
    assert (await asked).text == "old"
    await asyncio.sleep(0)
    assert old.closed
    await changing.close()
    assert new.closed


async def test_one_that_nobody_asks_is_closed_at_once() -> None:
    makes = Makes()
    changing = Changing(makes)
    changing.change(server("old"))
    changing.change(server("new"))
    await asyncio.sleep(0)
    assert makes.made["old"].closed
    await changing.close()


async def test_the_same_again_is_no_change() -> None:
    changing = Changing(Makes())
    assert changing.change(server("one"))
    assert not changing.change(server("one"))
    await changing.close()


async def test_one_that_can_not_be_made_leaves_the_one_before() -> None:
    makes = Makes()
    changing = Changing(makes)
    changing.change(server("good"))
    with pytest.raises(SetupFailed):
        changing.change(server("broken"))
    assert changing.version == "good"
    # Asked again for what there is, nothing changes; and the broken one is tried again.
    assert not changing.change(server("good"))
    await changing.close()


async def test_before_it_is_told_it_can_not_answer() -> None:
    changing = Changing(Makes())
    with pytest.raises(Unavailable):
        await whole(changing.generate(PROMPT))
    with pytest.raises(Unavailable):
        await changing.check_health()
    await changing.close()
