"""Engine that runs vLLM in the replica's process, on GPUs or on the CPU. vLLM's engine core runs in a separate process."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

from operators.errors import SetupError, UnavailableError
from serve.engines.protocol import PROBE_PROMPT, Generation, NonRetryableError, Prompt, StreamAccumulator, probe
from serve.engines.selection import VLLM_MISSING_MESSAGE

_FINISH_REASONS: dict[str | None, Literal["stop", "length"]] = {
    "stop": "stop",
    "length": "length",
    "repetition": "length",
}
"""vLLM's reasons for the end of a usable answer. Any other reason means that vLLM aborted the answer."""
_DEFAULT_ARGUMENTS: Mapping[str, Any] = {"scheduling_policy": "priority"}


class VllmEngine:
    """Runs a chat model.

    Args:
        model: the model's folder, or its name on the Hugging Face hub.
        arguments: vLLM's arguments (`AsyncEngineArgs`), passed on unchanged. Requests are scheduled by priority unless
            `scheduling_policy` is set.

    Raises:
        SetupError: vLLM is not installed, can't load the model, or the model has no chat template.
    """

    name = "vllm"

    def __init__(self, model: str, arguments: Mapping[str, Any]) -> None:
        # Otherwise vLLM would send usage statistics, and log the prompts.
        os.environ["VLLM_NO_USAGE_STATS"] = "1"
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        try:
            from vllm.engine.arg_utils import AsyncEngineArgs  # pyright: ignore[reportMissingImports] - an extra
            from vllm.renderers import ChatParams  # pyright: ignore[reportMissingImports] - an extra
            from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports] - an extra
        except ImportError as error:
            raise SetupError(VLLM_MISSING_MESSAGE) from error
        try:
            self._engine = AsyncLLM.from_engine_args(
                AsyncEngineArgs(model=model, **{**_DEFAULT_ARGUMENTS, **arguments})
            )
        except TypeError as error:
            raise SetupError(f"PARLEY_VLLM_ARGS: {_first_line(error)}") from error
        except (OSError, RuntimeError, ValueError) as error:
            raise SetupError(f"vLLM can't load {model}: {_first_line(error)}") from error
        self.version = Path(model).name if Path(model).is_dir() else model
        # Turns reasoning off, because it takes too long. Models without reasoning ignore this.
        self._chat_params = ChatParams(chat_template_kwargs={"enable_thinking": False, "add_generation_prompt": True})
        self._merges_system_role = False
        if not self._is_accepted_by_template(PROBE_PROMPT):
            # The chat templates of some models, like Gemma, have no system role: its message is merged into the user's.
            self._merges_system_role = True
            if not self._is_accepted_by_template(PROBE_PROMPT):
                self._engine.shutdown()
                raise SetupError(f"{model} has no chat template: choose an instruction-tuned model")

    async def generate(self, request: Prompt) -> AsyncGenerator[str | Generation]:
        """Answer a prompt, in pieces of a few tokens. vLLM stops if the stream is cancelled or closed early.

        Raises:
            NonRetryableError: the prompt is too long for the model, or its schema is invalid.
            UnavailableError: the engine failed, or is overloaded.
        """
        from vllm.exceptions import GracefulHTTPError, VLLMClientError, VLLMServerError  # pyright: ignore[reportMissingImports] - an extra
        from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams  # pyright: ignore[reportMissingImports] - an extra

        accumulator, completion_tokens = StreamAccumulator(), 0
        try:
            sampling = SamplingParams(
                temperature=request.temperature,
                max_tokens=request.max_tokens,
                output_kind=RequestOutputKind.DELTA,
                structured_outputs=StructuredOutputsParams(json=dict(request.schema)) if request.schema else None,
            )
            _, [rendered] = await self._engine.renderer.render_chat_async(
                [self._chat_messages(request)], self._chat_params
            )
            outputs = self._engine.generate(rendered, sampling, request_id=str(uuid4()), priority=request.priority)
            async with aclosing(outputs):
                async for output in outputs:
                    [completion] = output.outputs
                    completion_tokens += len(completion.token_ids)
                    if completion.text:
                        yield accumulator.add(completion.text)
                    if output.finished and completion.finish_reason not in _FINISH_REASONS:
                        raise UnavailableError(f"vLLM aborted an answer: {completion.finish_reason}")
                    if output.finished:
                        yield accumulator.complete(
                            self.version,
                            _FINISH_REASONS[completion.finish_reason],
                            len(output.prompt_token_ids or ()),
                            completion_tokens,
                            output.num_cached_tokens or 0,
                        )
        # `from None`: vLLM's messages may quote the prompt.
        except (VLLMServerError, GracefulHTTPError) as error:
            raise UnavailableError(f"vLLM: {type(error).__name__}") from None
        except (VLLMClientError, ValueError) as error:
            raise NonRetryableError(f"the model can't process this request: {type(error).__name__}") from None

    @property
    def context_window(self) -> int:
        """The most tokens that a prompt and its answer may have together: vLLM's `max_model_len`."""
        return self._engine.model_config.max_model_len

    async def count_tokens(self, prompt: Prompt) -> int:
        """Count the tokens of a prompt in the model's chat template, with the model's tokenizer."""
        unlimited = replace(self._engine.renderer.default_chat_tok_params, max_total_tokens=None)
        _, [rendered] = await self._engine.renderer.render_chat_async(
            [self._chat_messages(prompt)], self._chat_params, unlimited
        )
        return len(cast(Any, rendered)["prompt_token_ids"])

    async def check_health(self) -> None:
        """Generate a token.

        Raises:
            UnavailableError: the engine is dead or fails.
        """
        await probe(self)

    async def close(self) -> None:
        """Stop the engine's processes."""
        self._engine.shutdown()

    def _is_accepted_by_template(self, prompt: Prompt) -> bool:
        """Return whether the model's chat template accepts a prompt."""
        from vllm.exceptions import VLLMClientError  # pyright: ignore[reportMissingImports] - an extra

        try:
            self._engine.renderer.render_chat([self._chat_messages(prompt)], self._chat_params)
        except (VLLMClientError, TypeError, ValueError):
            return False
        return True

    def _chat_messages(self, prompt: Prompt) -> list[Any]:
        messages = [{"role": message.role, "content": message.content} for message in prompt.messages]
        if self._merges_system_role and messages[0]["role"] == "system":
            system, user, *rest = messages
            messages = [{"role": "user", "content": f"{system['content']}\n\n{user['content']}"}, *rest]
        return messages


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
