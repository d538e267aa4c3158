"""Makes engines as the models' configuration names them, in the process that is to use them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from operators.errors import SetupFailed
from operators.models import ELSEWHERE, Engine, Firefox, LlamaCpp, OpenAi, Proxy, Remote, Triton, Vllm
from serve.engines import engine as protocol
from serve.engines.changing import Changing
from serve.engines.choice import VLLM_MISSING, model_problem, vllm_installed
from serve.engines.engine import Prompt, TranslationEngine
from serve.engines.prompted import PromptedTranslator

if TYPE_CHECKING:
    from serve.engines.openai import OpenAiEngine

# Each engine's module is imported where it is used: some take seconds to load, and no replica needs two of them.


class Maker:
    """Makes one engine for a role, and changes it where that can be done while it is in use: where it runs elsewhere.

    Args:
        spec: what the configuration says of it.
        models: a folder of further models of Firefox's.
    """

    def __init__(self, spec: Engine, models: Path | None = None) -> None:
        # Serve starts replicas anew where what they are made of differs: what may change in place is told them later.
        self._spec = None if isinstance(spec, ELSEWHERE) else spec
        self._models = models
        self._changing: Changing | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Serve pickles what a replica was made with again once it runs, to look through it: not the engine that is in use.
        return {"_spec": self._spec, "_models": self._models, "_changing": None}

    def translator(self) -> TranslationEngine:
        """Make the engine that translates.

        Raises:
            SetupFailed: it can't be made here; the message says what is missing.
        """
        if isinstance(self._spec, Firefox):
            from serve.engines.firefox import FirefoxEngine

            return FirefoxEngine(self._models)
        return PromptedTranslator(self.language_model())

    def language_model(self) -> protocol.Engine[Prompt]:
        """Make the engine that answers prompts. One that runs elsewhere must be told by `change` which one it is.

        Raises:
            SetupFailed: it can't be made here; the message says what is missing.
        """
        if self._spec is not None:
            return make_language_model(self._spec)
        self._changing = Changing(make_language_model)
        return self._changing

    def change(self, spec: Engine) -> bool:
        """Answer by another engine elsewhere from now on.

        Returns:
            Whether it is another one.

        Raises:
            SetupFailed: it can't be made; the one before stays.
        """
        return self._changing is not None and self._changing.change(spec)


def make_language_model(spec: Engine) -> protocol.Engine[Prompt]:
    """Make an engine that answers prompts.

    Raises:
        SetupFailed: it can't be made here; the message says what is missing.
    """
    match spec:
        case Vllm():
            from serve.engines.vllm import VllmEngine

            return VllmEngine(spec.model, spec.arguments)
        case OpenAi():
            from serve.engines.breaker import Guarded
            from serve.engines.warming import Warming

            return Guarded(Warming(_openai(spec, key_of(spec.key)), spec.load_seconds, spec.keep_warm_seconds))
        case Proxy() | Triton():
            from serve.engines.breaker import Guarded

            return Guarded(make_remote(spec, key_of(spec.key)))
        case LlamaCpp():
            from serve.engines.llamacpp import LlamaCppEngine

            # Its threads spin: more of them than the replica has cores for would starve each other.
            threads = max(1, int(spec.cpus))
            own = {"cpuparams.n_threads": threads, "cpuparams_batch.n_threads": threads}
            return LlamaCppEngine(Path(spec.model), own | spec.arguments)
        case Firefox():
            raise SetupFailed("Firefox's models translate and do nothing else")


def make_remote(spec: Remote, key: str | None) -> protocol.Engine[Prompt]:
    """Make an engine elsewhere, without a circuit breaker.

    Args:
        spec: what the configuration says of it.
        key: what its server asks for.
    """
    match spec:
        case OpenAi():
            return _openai(spec, key)
        case Proxy():
            from serve.engines.proxy import ProxyEngine

            return ProxyEngine(spec.url, key, spec.model)
        case Triton():
            from serve.engines.triton import TritonEngine

            return TritonEngine(spec.url, spec.model, key)


def _openai(spec: OpenAi, key: str | None) -> OpenAiEngine:
    from serve.engines.openai import OpenAiEngine

    return OpenAiEngine(spec.url, spec.model, key, spec.body)


def check(spec: Engine, model: str = "model") -> None:
    """Look at what an engine needs of this machine, before anything is started for it.

    Args:
        model: what the setting is called that names its model.

    Raises:
        SetupFailed: something is missing; the message says what.
    """
    if isinstance(spec, Vllm):
        if problem := model_problem(spec.model):
            raise SetupFailed(f"{model}: {problem}")
        if not vllm_installed():
            raise SetupFailed(VLLM_MISSING)
    if isinstance(spec, ELSEWHERE):
        key_of(spec.key)


def key_of(variable: str | None) -> str | None:
    """The key that a variable of the environment holds; None where none is named.

    Raises:
        SetupFailed: it holds none.
    """
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise SetupFailed(f"{variable} holds no key: set it in the environment of Ray on every node")
    return key
