"""Tests that the common prefix of a meeting's prompts is in vLLM's prefix cache after the first request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, takewhile
from typing import Any

from operators import context_window
from operators.entries import Chunk
from operators.meeting_config import MeetingConfig, Term
from operators.translation_requests import TranslationRequest
from serve.engines.local.vllm import VllmEngine
from serve.engines.protocol import Generation, Prompt, collect
from serve.translation.llm.prompts import translation_prompt
from serve.translation.translation_service import to_utterance
from tests.harness.data.ami_corpus import AMI_RECORDINGS, needs_ami, read_jsonl
from tests.harness.lane.operator_runs import make_items, run_operators
from tests.harness.processes.smollm2_vllm import VLLM_ARGUMENTS, converted_model, needs_vllm

pytestmark = [needs_ami, needs_vllm]

BLOCK_TOKENS = 32
"""Tokens in a block of the cache: the fewest that vLLM allows on the CPU."""
TARGETS = ("pt", "de")
SENTENCE_COUNT = 12

GLOSSARY = tuple(
    Term(term=term, translations={"pt": pt, "de": de})
    for term, pt, de in (
        ("remote control", "controle remoto", "Fernbedienung"),
        ("user interface", "interface do usuário", "Benutzeroberfläche"),
        ("project manager", "gerente de projeto", "Projektleiterin"),
        ("market research", "pesquisa de mercado", "Marktforschung"),
        ("budget", "orçamento", "Budget"),
    )
)


def meeting_requests() -> Iterator[TranslationRequest]:
    """The requests of a lane for a real meeting."""
    chunks: list[tuple[float, Any]] = []
    for row in read_jsonl(AMI_RECORDINGS[0]):
        said = row["payload"]
        fields = {"chunk_id": said["chunk_id"], "speaker": said["speaker_name"], "text": said["text"]}
        span = {"start": said["start_time"], "end": said["end_time"]}
        chunks.append((row["at"], Chunk.model_validate(fields | span)))
    config = MeetingConfig(source_language="en", target_languages=TARGETS, glossary=GLOSSARY, style="plain words")
    state = context_window.WindowState()
    for update, done in run_operators(make_items(chunks, config=config)).steps:
        state, step_requests = context_window.step(state, update, done)
        yield from step_requests


def make_prompt(request: TranslationRequest) -> Prompt:
    """The prompt for a request. One token of the answer is enough here."""
    return replace(translation_prompt(to_utterance(request, "en")), max_tokens=1)


def count_fixed_tokens(asked: Prompt) -> int:
    """Count the tokens up to the end of the system message, in the model's chat template."""
    from transformers import AutoTokenizer  # pyright: ignore[reportMissingImports] - an extra

    tokenizer: Any = AutoTokenizer.from_pretrained(converted_model())
    system = {"role": "system", "content": asked.messages[0].content}
    one, other = (
        tokenizer.encode(
            tokenizer.apply_chat_template([system, {"role": "user", "content": words}], tokenize=False),
            add_special_tokens=False,
        )
        for words in ("Yes", "12")
    )
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


async def test_the_common_prefix_of_a_meetings_prompts_is_a_cache_hit() -> None:
    prompts: dict[str, list[Prompt]] = {target: [] for target in TARGETS}
    for request in islice(meeting_requests(), SENTENCE_COUNT * len(TARGETS)):
        prompts[request.language].append(make_prompt(request))
    engine = VllmEngine(str(converted_model()), VLLM_ARGUMENTS | {"block_size": BLOCK_TOKENS})

    async def ask(some: Sequence[Prompt]) -> list[Generation]:
        return await asyncio.gather(*(collect(engine.generate(one)) for one in some))

    try:
        # The first request of each language pair fills the cache, so it can't be a hit.
        await ask([asked[0] for asked in prompts.values()])
        hits = blocks = 0
        for asked in prompts.values():
            assert len(asked) == SENTENCE_COUNT
            whole_blocks = count_fixed_tokens(asked[0]) // BLOCK_TOKENS
            assert whole_blocks >= 5
            for answer in await ask(asked[1:]):
                blocks += whole_blocks
                hits += min(answer.cached_tokens // BLOCK_TOKENS, whole_blocks)
    finally:
        await engine.close()
    assert hits >= 0.95 * blocks, f"{hits} of {blocks}"
