"""Everything that can be set, from the environment (`PARLEY_…`) or a `.env` file. docs/settings.md lists it; a test compares."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveFloat, PositiveInt, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, DotEnvSettingsSource, SettingsConfigDict

from serve.engines.selection import InsightEngineOption, TranslationEngineOption

MIN_SIMILARITY = 0.75
"""How alike a name must be to a setting's to be taken for it, misspelt: 1 is the same."""


class Settings(BaseSettings):
    """Parley's settings. Each one's description is its documentation."""

    model_config = SettingsConfigDict(env_prefix="PARLEY_", env_file=".env", extra="ignore", frozen=True)

    data_dir: Path | None = Field(
        default=None,
        description="Where the embedded stores keep their data. Default: the user's data folder; /var/lib/parley as root.",
    )
    postgres_url: SecretStr | None = Field(
        default=None,
        description="A Postgres of one's own, `postgresql://user:password@host/database`. Default: embedded.",
    )
    redis_url: SecretStr | None = Field(
        default=None, description="A Redis or Valkey of one's own, `redis://:password@host/0`. Default: embedded."
    )
    port: int = Field(default=8000, ge=1, le=65535, description="The port on 127.0.0.1 where the HTTP API answers.")
    translator: TranslationEngineOption = Field(
        default="auto",
        description="What translates: `vllm`, `openai` (a model on an OpenAI-style server), `proxy` (a Translation Service V3),"
        " `triton`, `llamacpp` (a GGUF file, on the CPU), `firefox` (offline, on the CPU), `none`, or `auto`: vLLM where a model"
        " is named and there is a GPU of at least 8 GiB for it (one with room for its weights, if it is a folder), with Firefox's"
        " models until it answers; else those alone.",
    )
    translation_model: str | None = Field(
        default=None,
        description="The model that translates. For vLLM a folder, or a name on the Hugging Face hub; for llama.cpp a GGUF"
        " file; for a server the name that it has there.",
    )
    translation_url: str | None = Field(
        default=None,
        description="Where a model's server is: for an OpenAI-style one where its API begins, such as"
        " `http://127.0.0.1:11434/v1`. What is said goes there.",
    )
    translation_key: SecretStr | None = Field(
        default=None, description="The key that this server asks for, if it does."
    )
    translation_body: dict[str, Any] = Field(
        default={},
        description='More of each request to this server as a JSON object, such as `{"reasoning_effort": "none"}`.',
    )
    translation_load_seconds: PositiveFloat = Field(
        default=300.0,
        description="Seconds that an OpenAI-style server may take to load the model when it is asked. Captions wait meanwhile.",
    )
    translation_keep_warm_seconds: PositiveFloat | None = Field(
        default=None,
        description="Seconds without a question after which an OpenAI-style server is asked for one token, so that it keeps its"
        " model loaded. Default: never.",
    )
    insight: InsightEngineOption = Field(
        default="auto",
        description="What writes notes and answers: as for PARLEY_TRANSLATOR, but for `firefox`. `auto`: where a model is named,"
        " llama.cpp for a GGUF file, else vLLM on a GPU.",
    )
    insight_model: str | None = Field(default=None, description="The model that writes notes and answers.")
    insight_url: str | None = Field(default=None, description="Where its server is, if it has one.")
    insight_key: SecretStr | None = Field(default=None, description="The key that this server asks for, if it does.")
    vllm_args: dict[str, Any] = Field(
        default={},
        description='Arguments of vLLM\'s engine as a JSON object, such as `{"max_model_len": 4096}`.',
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="Host names by which a reverse proxy reaches Parley, as a JSON list, beside this machine's own.",
    )
    models: Path | None = Field(
        default=None,
        description="A folder of models, where `parley models pull` puts them: Firefox's, a folder each, are used"
        " beside those installed.",
    )
    translation_replicas: PositiveInt = Field(
        default=1, description="Processes that translate. One does some 40 sentences a second."
    )
    live_lanes: PositiveInt = Field(default=1, description="Lanes for live meetings: so many at least.")
    live_lanes_max: PositiveInt | None = Field(
        default=None,
        description="Lanes for live meetings at most: with more of them than the least, their number follows the load.",
    )
    meetings_per_lane: PositiveInt = Field(
        default=40, description="Open meetings that a lane is meant for, where the number of lanes follows the load."
    )
    batch_lanes: PositiveInt = Field(default=1, description="Lanes for recorded meetings; started when there are any.")
    in_flight: PositiveInt = Field(default=16, description="Translations that a lane has under way at once.")
    capacity: PositiveInt = Field(
        default=128,
        description="Translation requests in flight in a lane. Beyond them a live caption becomes pending and a batch lane waits.",
    )
    deadline: PositiveFloat = Field(
        default=10.0,
        description="Seconds a translation may take. After that a live caption becomes pending and the backfill translates it.",
    )
    max_live: PositiveInt = Field(
        default=100, description="Live meetings that may be open at once. Opening one more is refused with 429."
    )
    lag_limit: PositiveFloat = Field(
        default=30.0,
        description="Seconds that a lane may be behind. Beyond it events for its meetings are refused with 429, to be sent again.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is logged.")

    @field_validator("live_lanes_max")
    @classmethod
    def _max_not_below_min(cls, maximum: int | None, info: ValidationInfo) -> int | None:
        if maximum is not None and maximum < (minimum := info.data.get("live_lanes", maximum)):
            raise ValueError(f"must be PARLEY_LIVE_LANES ({minimum}) at least")
        return maximum

    @property
    def effective_live_lanes_max(self) -> int:
        """Lanes for live meetings at most."""
        return max(self.live_lanes, self.live_lanes_max or 0)


def misspelt_settings() -> dict[str, str]:
    """Variables of the environment, or of the `.env` file, that are no settings, each with the setting that it resembles.

    Others that begin alike may hold keys, or belong to another program.
    """
    settings = {name.upper() for name in Settings.model_fields}
    dotenv_names = DotEnvSettingsSource(Settings, env_ignore_empty=False).env_vars
    suggestions: dict[str, str] = {}
    for name in sorted({name.upper() for name in (*os.environ, *dotenv_names)}):
        prefix, _, word = name.partition("_")
        # Those of the tests begin with a word of their own.
        if prefix != "PARLEY" or word in settings or word.startswith("TEST_"):
            continue
        if matches := get_close_matches(word, settings, 1, MIN_SIMILARITY):
            suggestions[name] = f"PARLEY_{matches[0]}"
    return suggestions
