"""Parley's settings, from the environment (`PARLEY_…`) or a `.env` file. A test compares them with docs/settings.md."""

from __future__ import annotations

import os
import re
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from operators.errors import SetupError
from serve.engines.selection import EmbeddingEngineOption, InsightEngineOption, TranslationEngineOption
from storage.encryption import SecretCipher

MIN_SIMILARITY = 0.75
"""Minimum similarity of a variable's name to a setting, from 0 to 1, to count as a misspelling of this one."""
MAX_SUGGESTION_COUNT = 3
"""Maximum number of settings that a variable may resemble."""
_MIN_SCORE = 0.6
"""Minimum score of a setting that a variable may resemble: the similarity, plus the share of common words, from 0 to 2."""
_OTHER_VARIABLES = re.compile(r"TEST_\w+|FIREFLIES_\w+|\w*SERVICE_(?:HOST|PORT)\w*|\w*PORT_\d+_(?:TCP|UDP)\w*")
"""Variables of the test suite, of Fireflies accounts, and those that Kubernetes sets for a service named `parley`."""
_KEY_VARIABLE = re.compile(r"\w+_(?:KEY|TOKEN)")
"""Variables that an engine's configuration may name."""


class Settings(BaseSettings):
    """Parley's settings. The description of a field is its documentation."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_", env_file=".env", extra="ignore", frozen=True)

    data_dir: Path | None = Field(
        default=None,
        description="Folder for the data of the embedded stores. Default: the user's data folder, or /var/lib/parley as root.",
    )
    postgres_url: SecretStr | None = Field(
        default=None,
        description="URL of a self-hosted Postgres, `postgresql://user:password@host/database`. Default: embedded.",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="URL of a self-hosted Redis or Valkey, `redis://:password@host/0`. Default: embedded."
    )
    encryption_key: SecretStr | None = Field(
        default=None,
        description="Key that encrypts stored secrets, such as API keys of sources: 32 random bytes in URL-safe base64. More keys"
        " after a comma decrypt older secrets. Without it, no secret can be stored.",
    )
    port: int = Field(default=8000, ge=1, le=65535, description="Port of the HTTP API on 127.0.0.1.")
    translator: TranslationEngineOption = Field(
        default="auto",
        description="Translation engine: `vllm`, `openai` (a model on an OpenAI-style server), `proxy` (a Translation Service"
        " V3), `triton`, `llamacpp` (a GGUF file in the process), `firefox` (offline, on the CPU), `none` or `auto`."
        " `auto` is vLLM if a model is set and there is a GPU of at least 8 GiB (for a model folder, a GPU with"
        " memory for its weights). The Firefox models translate until vLLM is ready, and alone without it.",
    )
    translation_model: str | None = Field(
        default=None,
        description="Translation model. For vLLM a folder, or a name on the Hugging Face hub; for llama.cpp a GGUF file; for"
        " a model server the model's name on it.",
    )
    translation_url: str | None = Field(
        default=None,
        description="URL of the model server. For an OpenAI-style server the base of its API, such as"
        " `http://127.0.0.1:11434/v1`. The server receives transcript text.",
    )
    translation_key: SecretStr | None = Field(default=None, description="Key of this server, if it requires one.")
    translation_body: dict[str, Any] = Field(
        default={},
        description='Extra fields of each request to this server as a JSON object, such as `{"reasoning_effort": "none"}`.',
    )
    translation_load_seconds: PositiveFloat = Field(
        default=300.0,
        description="Seconds that an OpenAI-style server may take to load the model at a request. Captions wait meanwhile.",
    )
    translation_keep_warm_seconds: PositiveFloat | None = Field(
        default=None,
        description="Seconds without a request after which Parley requests one token from an OpenAI-style server, so that it"
        " keeps its model loaded. Default: never.",
    )
    insight: InsightEngineOption = Field(
        default="auto",
        description="Engine of notes and answers: the values of PARLEY_TRANSLATOR, except `firefox`. If a model is set,"
        " `auto` is llama.cpp for a GGUF file, and otherwise vLLM on a GPU.",
    )
    insight_model: str | None = Field(default=None, description="Model of notes and answers.")
    insight_url: str | None = Field(default=None, description="URL of the insight model's server, if it has one.")
    insight_key: SecretStr | None = Field(default=None, description="Key of this server, if it requires one.")
    embedding: EmbeddingEngineOption = Field(
        default="auto",
        description="Engine of embeddings, for a search by meaning: `e5` (Multilingual E5 small, on the CPU), `openai` (a model"
        " on an OpenAI-style server), `none` or `auto`. `auto` is `e5` if an engine writes notes and answers.",
    )
    embedding_model: str | None = Field(default=None, description="Embedding model, by its name on its server.")
    embedding_url: str | None = Field(
        default=None, description="URL of the embedding model's server. The server receives transcript text."
    )
    embedding_key: SecretStr | None = Field(default=None, description="Key of this server, if it requires one.")
    vllm_args: dict[str, Any] = Field(
        default={},
        description='Arguments of vLLM\'s engine as a JSON object, such as `{"max_model_len": 4096}`.',
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names under which a reverse proxy reaches Parley, as a JSON list. This machine's names are always"
        " accepted.",
    )
    models: Path | None = Field(
        default=None,
        description="Folder of models, where `parley models pull` stores them. Firefox models in it, one folder each, are"
        " used in addition to the installed ones.",
    )
    translation_replicas: PositiveInt = Field(
        default=1,
        description="Number of translation processes. One translates about 40 sentences a second.",
    )
    live_lanes: PositiveInt = Field(default=1, description="Minimum number of lanes for live meetings.")
    live_lanes_max: PositiveInt | None = Field(
        default=None,
        description="Maximum number of lanes for live meetings. If it is larger than PARLEY_LIVE_LANES, the number of lanes"
        " follows the load.",
    )
    meetings_per_lane: PositiveInt = Field(
        default=40, description="Open meetings for each lane, if the number of lanes follows the load."
    )
    batch_lanes: PositiveInt = Field(
        default=1, description="Number of lanes for recorded meetings. They run only while there are any."
    )
    in_flight: PositiveInt = Field(default=16, description="Maximum number of concurrent translation calls of a lane.")
    capacity: PositiveInt = Field(
        default=128,
        description="Maximum number of translation requests in a lane, queued or called. Beyond it a live caption becomes"
        " pending, and a batch lane waits.",
    )
    deadline: PositiveFloat = Field(
        default=10.0,
        description="Seconds a translation may take. After that a live caption becomes pending and the backfill translates it.",
    )
    max_live: PositiveInt = Field(
        default=100, description="Maximum number of open live meetings. Opening another one is refused with 429."
    )
    daily_tokens: PositiveInt | None = Field(
        default=None,
        description="Number of tokens that a team's notes, insights and answers may take in a day (UTC). Beyond it, requests for"
        " them are refused with 429 and notes wait; captions go on. The last fifth is for running notes. Default: no limit.",
    )
    lag_limit: PositiveFloat = Field(
        default=30.0,
        description="Maximum lag of a lane in seconds. Beyond it, events for its meetings are refused with 429 and must be"
        " sent again later.",
    )
    private_addresses: bool = Field(
        default=False,
        description="Whether webhooks and sources may have `http://` URLs and private addresses, such as this machine's. Only for"
        " networks in which the API's users may reach every server.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level of log events."
    )

    @field_validator("encryption_key")
    @classmethod
    def _require_fernet_keys(cls, keys: SecretStr | None) -> SecretStr | None:
        try:
            SecretCipher(keys.get_secret_value() if keys else None)
        except SetupError as error:
            raise ValueError(str(error)) from None
        return keys

    @field_validator("live_lanes_max")
    @classmethod
    def _max_not_below_min(cls, maximum: int | None, info: ValidationInfo) -> int | None:
        if maximum is not None and maximum < (minimum := info.data.get("live_lanes", maximum)):
            raise ValueError(f"must be at least PARLEY_LIVE_LANES ({minimum})")
        return maximum

    @property
    def effective_live_lanes_max(self) -> int:
        """Maximum number of lanes for live meetings: the fixed number if no maximum is set."""
        return max(self.live_lanes, self.live_lanes_max or 0)


def misspelt_settings() -> dict[str, tuple[str, ...]]:
    """Find variables with the prefix that are no setting, in the environment and the `.env` file.

    Keys that an engine's configuration may name are ignored, unless they are close to a setting.

    Returns:
        By name of the variable, the names of the settings that it resembles, the nearest first; empty if there is none.
    """
    settings = {name.upper() for name in Settings.model_fields}
    dotenv_names = DotEnvSettingsSource(Settings, env_ignore_empty=False).env_vars
    suggestions: dict[str, tuple[str, ...]] = {}
    for name in sorted({name.upper() for name in (*os.environ, *dotenv_names)}):
        prefix, _, word = name.partition("_")
        if prefix != "PARLEY" or word in settings or _OTHER_VARIABLES.fullmatch(word):
            continue
        similarity = {setting: SequenceMatcher(None, word, setting).ratio() for setting in settings}
        nearest = max(settings, key=lambda setting: similarity[setting])
        if similarity[nearest] >= MIN_SIMILARITY:
            suggestions[name] = (f"PARLEY_{nearest}",)
        elif not _KEY_VARIABLE.fullmatch(word):
            scores = {setting: similarity[setting] + _common_words(word, setting) for setting in settings}
            likely = sorted(
                (each for each in settings if scores[each] >= _MIN_SCORE), key=lambda each: (-scores[each], each)
            )
            suggestions[name] = tuple(f"PARLEY_{each}" for each in likely[:MAX_SUGGESTION_COUNT])
    return suggestions


def _common_words(word: str, setting: str) -> float:
    """Return the share of a variable's words that a setting's name has. A word of the description counts half."""
    words = word.split("_")
    description = (Settings.model_fields[setting.lower()].description or "").upper()
    described = set(re.findall(r"\w+", description))
    return sum(1.0 if each in setting.split("_") else 0.5 * (each in described) for each in words) / len(words)
