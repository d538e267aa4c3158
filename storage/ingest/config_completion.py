"""What Parley fills in of a meeting's config: the terms of the attached glossaries, and whether there are running notes."""

from __future__ import annotations

import structlog
from sqlalchemy import Connection

from operators.errors import InvalidInputError
from operators.meeting_config import MeetingConfig
from operators.team_glossary import select_terms
from storage.glossaries.glossary_queries import read_attached_terms
from storage.postgres.engine_config_versions import read_current_config

log = structlog.get_logger(__name__)


def complete_new_config(connection: Connection, team_id: str, config: MeetingConfig) -> MeetingConfig:
    """Complete the config of a new meeting.

    If running notes are not chosen, they are written if an engine serves insights.

    Raises:
        InvalidInputError: the config names a glossary that the team doesn't have.
    """
    notes = _are_insights_served(connection) if config.notes is None else config.notes
    return with_shared_terms(connection, team_id, config.model_copy(update={"notes": notes}), prefix="config.")


def with_shared_terms(
    connection: Connection, team_id: str, config: MeetingConfig, *, prefix: str = "", drop_unknown: bool = False
) -> MeetingConfig:
    """Return a config with the present terms of its glossaries.

    Args:
        team_id: the meeting's team.
        config: the config.
        prefix: what precedes the field's name in an error.
        drop_unknown: whether a glossary that the team doesn't have is detached.

    Raises:
        InvalidInputError: the config names a glossary that the team doesn't have, and it isn't dropped.
    """
    versions, terms = read_attached_terms(connection, team_id, config.glossary_ids)
    for index, glossary_id in enumerate(config.glossary_ids):
        if glossary_id not in versions and not drop_unknown:
            raise InvalidInputError(f"{prefix}glossary_ids.{index}", "must be the id of a glossary of the team")
    return config.model_copy(
        update={
            "glossary_ids": tuple(versions),
            "glossary_versions": versions,
            "shared_glossary": select_terms(config.glossary, terms.values()),
        }
    )


def _are_insights_served(connection: Connection) -> bool:
    try:
        version = read_current_config(connection)
    except InvalidInputError as error:
        # A newer release wrote it. The meeting must begin without notes.
        log.warning("the engine configuration can't be read", field=error.field)
        return False
    return version is not None and bool(version.config.insight)
