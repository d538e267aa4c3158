"""Glossaries as immutable values. The HTTP API describes and returns them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from operators.team_glossary import GlossaryTerm


class GlossaryRecord(BaseModel, frozen=True):
    """A glossary of a team, with the number of its entries."""

    id: UUID
    name: str
    description: str
    entries: int
    created_at: datetime
    updated_at: datetime


class GlossaryEntryRecord(GlossaryTerm):
    """An entry of a glossary."""

    id: UUID

    __hash__ = GlossaryTerm.__hash__
