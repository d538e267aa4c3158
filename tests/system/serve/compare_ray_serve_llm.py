"""Our vLLM deployment against that of `ray.serve.llm`: one Ray, one model, the same arguments and prompts, in turns.

    pip install --no-deps --target /tmp/extra pyarrow pandas python-dateutil pytz tzdata six
    PYTHONPATH=/tmp/extra .venv/bin/python -m tests.compare_ray_serve_llm

docs/ray-serve-llm.md has what came of it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "VLLM_LOGGING_LEVEL": "WARNING"}

import httpx
import ray
from ray import serve as ray_serve
from ray._private import ray_constants

from cluster.ports import find_free_port
from cluster.ray_node import RAY_ENVIRONMENT
from serve.engines.protocol import Message, Prompt, collect
from serve.loopback_patch import bind_loopback
from tests.harness.processes.smollm2_vllm import VLLM_ARGUMENTS, converted_model

TOKEN_COUNT = 40
Ask = Callable[[list[dict[str, str]]], Awaitable[int]]


@ray_serve.deployment(name="Ours", max_ongoing_requests=64, ray_actor_options={"num_cpus": 1})
class Ours:
    """The engine in a replica of our own."""

    def __init__(self, model: str) -> None:
        from serve.engines.local.vllm import VllmEngine

        self._engine = VllmEngine(model, VLLM_ARGUMENTS)

    async def ask(self, messages: list[dict[str, Any]]) -> int:
        """Answer; how many tokens it took."""
        prompt = Prompt(tuple(Message(each["role"], each["content"]) for each in messages), max_tokens=TOKEN_COUNT)
        return (await collect(self._engine.generate(prompt))).completion_tokens


def make_messages(number: int) -> list[dict[str, str]]:
    """A prompt whose first part is always the same."""
    fixed = "You translate what was said in a meeting. " + "Keep names and numbers as they are. " * 20
    source_text = f"Sentence {number}: we have {number} open points in the plan, and the river is wide."
    return [{"role": "system", "content": fixed}, {"role": "user", "content": source_text}]


async def measure_tokens_per_s(ask: Ask, in_flight: int, calls: int) -> float:
    """Tokens a second."""
    gate = asyncio.Semaphore(in_flight)

    async def call_once(number: int) -> int:
        async with gate:
            return await ask(make_messages(number))

    began = time.monotonic()
    return sum(await asyncio.gather(*map(call_once, range(calls)))) / (time.monotonic() - began)


async def compare(methods: dict[str, Ask]) -> None:
    """Print each way's tokens a second as a ratio to the first one's."""
    for ask in methods.values():
        await measure_tokens_per_s(ask, 8, 8)
    for in_flight in (8, 16):
        found: dict[str, list[float]] = {way: [] for way in methods}
        for turn in range(4):
            order = list(methods)[turn % len(methods) :] + list(methods)[: turn % len(methods)]
            for way in order:
                found[way].append(await measure_tokens_per_s(methods[way], in_flight, 2 * in_flight))
        first = statistics.median(next(iter(found.values())))
        for way, speeds in found.items():
            spread = [round(each / first, 2) for each in speeds]
            print(in_flight, way, f"ratio {statistics.median(speeds) / first:.3f}, each {spread}", flush=True)


def main() -> None:
    """Run both and compare them."""
    from ray.serve.llm import LLMConfig, build_openai_app
    from ray.serve.llm.openai_api_models import ChatCompletionRequest

    port, temporary, model = find_free_port(), tempfile.mkdtemp(prefix="ray-", dir="/tmp"), str(converted_model())
    os.environ |= RAY_ENVIRONMENT
    ray_constants.ENABLE_RAY_CLUSTER = False
    path = os.pathsep.join([str(Path(__file__).resolve().parents[3]), os.environ.get("PYTHONPATH", "")])
    ray.init(
        address="local",
        num_cpus=6,
        include_dashboard=False,
        object_store_memory=150_000_000,
        log_to_driver=False,
        _temp_dir=temporary,
        runtime_env={"worker_process_setup_hook": bind_loopback, "env_vars": {"PYTHONPATH": path}},
    )
    try:
        ray_serve.start(http_options={"host": "127.0.0.1", "port": port})
        config = LLMConfig(
            model_loading_config={"model_id": "smollm2", "model_source": model},
            engine_kwargs=dict(VLLM_ARGUMENTS),
            accelerator_config={"kind": "cpu"},
            log_engine_metrics=False,
            deployment_config={"num_replicas": 1, "max_ongoing_requests": 64, "ray_actor_options": {"num_cpus": 1}},
        )
        ingress = {"num_replicas": 1, "autoscaling_config": None, "ray_actor_options": {"num_cpus": 0.5}}
        theirs_app = build_openai_app({"llm_configs": [config], "ingress_deployment_config": ingress})
        ray_serve.run(theirs_app, name="llm", route_prefix="/llm")
        theirs = ray_serve.get_deployment_handle("LLMServer:smollm2", "llm").options(stream=True)
        ours = ray_serve.run(Ours.bind(model), name="ours", route_prefix=None)
        body = {"model": "smollm2", "max_tokens": TOKEN_COUNT, "temperature": 0}

        async def run() -> None:
            async with httpx.AsyncClient(timeout=120) as http:

                async def by_our_handle(asked: list[dict[str, str]]) -> int:
                    return await ours.ask.remote(asked)

                async def by_its_handle(asked: list[dict[str, str]]) -> int:
                    parts = [part async for part in theirs.chat.remote(ChatCompletionRequest(messages=asked, **body))]
                    return parts[-1].usage.completion_tokens

                async def by_its_ingress(asked: list[dict[str, str]]) -> int:
                    url = f"http://127.0.0.1:{port}/llm/v1/chat/completions"
                    answer = await http.post(url, json=body | {"messages": asked})
                    return int(answer.raise_for_status().json()["usage"]["completion_tokens"])

                await compare(
                    {
                        "ours, by handle": by_our_handle,
                        "ray.serve.llm, by handle": by_its_handle,
                        "ray.serve.llm, by its ingress": by_its_ingress,
                    }
                )

        asyncio.run(run())
        ray_serve.shutdown()
    finally:
        ray.shutdown()
        shutil.rmtree(temporary, ignore_errors=True)


if __name__ == "__main__":
    main()
