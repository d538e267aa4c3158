"""vLLM in the replica's own process: the same code on GPUs and on the CPU. The engine's core runs in a process of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

from operators.errors import SetupFailed, Unavailable
from serve.engines.choice import VLLM_MISSING
from serve.engines.engine import TOKEN, Generation, Prompt, Unanswerable, Written, prove

_FINISH: dict[str | None, Literal["stop", "length"]] = {"stop": "stop", "length": "length", "repetition": "length"}
"""How an answer ended that is one. Whatever else vLLM says, it gave the answer up in the middle."""
_DEFAULTS: Mapping[str, Any] = {"scheduling_policy": "priority"}


class VllmEngine:
    """Runs a chat model.

    Args:
        model: a folder that holds one, or its name on the Hugging Face hub.
        arguments: vLLM's own (`AsyncEngineArgs`), passed on as they are. Questions are worked on by their priority unless
            `scheduling_policy` says otherwise.

    Raises:
        SetupFailed: vLLM is not installed, or can't load this.
    """

    name = "vllm"

    def __init__(self, model: str, arguments: Mapping[str, Any]) -> None:
        # It would report its use, and log what it is asked.
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs  # pyright: ignore[reportMissingImports] - an extra
            from vllm.renderers import ChatParams  # pyright: ignore[reportMissingImports] - an extra
            from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports] - an extra
        except ImportError as error:
            raise SetupFailed(VLLM_MISSING) from error
        try:
            self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(model=model, **{**_DEFAULTS, **arguments}))
        except TypeError as error:
            raise SetupFailed(f"PARLEY_VLLM_ARGS: {_first_line(error)}") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise SetupFailed(f"vLLM can't load {model}: {_first_line(error)}") from error
        self.version = Path(model).name if Path(model).is_dir() else model
        # Models that think aloud do without: nobody could wait for it. Others take no notice.
        self._chat = ChatParams(chat_template_kwargs={"enable_thinking": False, "add_generation_prompt": True})
        self._folds = False
        if not self._can_be_told(TOKEN):
            # Some models know no system's part (Gemma's): it goes to the user's.
            self._folds = True
            if not self._can_be_told(TOKEN):
                self._engine.shutdown()
                raise SetupFailed(f"{model} has no chat template: choose an instruction-tuned model")

    async def generate(self, question: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, in pieces of a few tokens. Cancelled or closed early, vLLM works on it no longer.

        Raises:
            Unanswerable: the prompt is too long for the model, or its schema is none.
            Unavailable: the engine failed, or has too much to do.
        """
        from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMServerError  # pyright: ignore[reportMissingImports] - an extra
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams  # pyright: ignore[reportMissingImports] - an extra

        written, tokens = Written(), 0
        try:
            sampling = SamplingParams(
                temperature=question.temperature,
                max_tokens=question.max_tokens,
                output_kind=RequestOutputKind.DELTA,
                structured_outputs=StructuredOutputsParams(json=dict(question.schema)) if question.schema else None,
            )
            _, [rendered] = await self._engine.renderer.render_chat_async([self._conversation(question)], self._chat)
            outputs = self._engine.generate(rendered, sampling, request_id=str(uuid4()), priority=question.priority)
            async with aclosing(outputs):
                async for output in outputs:
                    [completion] = output.outputs
                    tokens += len(completion.token_ids)
                    if completion.text:
                        yield written.add(completion.text)
                    if output.finished and completion.finish_reason not in _FINISH:
                        raise Unavailable(f"vLLM gave an answer up: {completion.finish_reason}")
                    if output.finished:
                        yield written.whole(
                            self.version,
                            _FINISH[completion.finish_reason],
                            len(output.prompt_token_ids or ()),
                            tokens,
                            output.num_cached_tokens or 0,
                        )
        # Without their cause: messages of vLLM's may quote the prompt.
        except (VLLMServerError, GracefulHTTPError) as error:
            raise Unavailable(f"vLLM: {type(error).__name__}") from None
        except (VLLMClientError, ValueError) as error:
            raise Unanswerable(f"the model can't be asked this: {type(error).__name__}") from None

    @property
    def window(self) -> int:
        """vLLM's `max_model_len`."""
        return self._engine.model_config.max_model_len

    async def count(self, prompt: Prompt) -> int:
        """The tokens of a prompt within the model's chat template, by its own tokenizer."""
        anything = replace(self._engine.renderer.default_chat_tok_params, max_total_tokens=None)
        _, [rendered] = await self._engine.renderer.render_chat_async(
            [self._conversation(prompt)], self._chat, anything
        )
        return len(cast(Any, rendered)["prompt_token_ids"])

    async def check_health(self) -> None:
        """Generate a token.

        Raises:
            Unavailable: the engine is dead or fails.
        """
        await prove(self)

    async def close(self) -> None:
        """End the engine's processes."""
        self._engine.shutdown()

    def _can_be_told(self, question: Prompt) -> bool:
        """Whether the model's chat template takes this."""
        from vllm.exceptions import VLLMClientError  # pyright: ignore[reportMissingImports] - an extra

        try:
            self._engine.renderer.render_chat([self._conversation(question)], self._chat)
        except (VLLMClientError, TypeError, ValueError):
            return False
        return True

    def _conversation(self, question: Prompt) -> list[Any]:
        messages = [{"role": message.role, "content": message.content} for message in question.messages]
        if self._folds and messages[0]["role"] == "system":
            system, user, *rest = messages
            messages = [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]
        return messages


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
