"""An engine configuration in which an engine serves insights and chats. Nothing answers at its address."""

from __future__ import annotations

from sqlalchemy import Engine

from operators.engine_config import EnginesConfig
from storage.postgres.engine_config_versions import save_config

_CONFIG = EnginesConfig.model_validate(
    {
        "engines": {"local": {"kind": "openai", "url": "http://127.0.0.1:1/v1", "model": "m"}},
        "insight": ["local"],
        "chat": ["local"],
    }
)


def serve_intelligence(engine: Engine) -> None:
    """Put the configuration in force. A test's own writer gives the answers in place of the engine."""
    with engine.begin() as connection:
        save_config(connection, _CONFIG, "request")


async def embed_no_question(question: str) -> None:
    """Embed no question, as without an engine that embeds: only the words of a question are searched for."""
