"""The tokens that each team's notes, insights and answers used, by day (UTC) and role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from pydantic import BaseModel
from sqlalchemy import Connection, text

from operators.insight_requests import InsightRole

_SELECT_TODAY = text(
    "select coalesce(sum(prompt_tokens + completion_tokens), 0)::bigint as used,"
    " ceil(extract(epoch from date_trunc('day', utc.now) + interval '1 day' - utc.now))::integer as resets_in_s"
    " from (select now() at time zone 'utc' as now) utc"
    " left join token_usage u on u.team_id = :team_id and u.day = utc.now::date group by utc.now"
)
_ADD_TODAY = text(
    "insert into token_usage (team_id, day, role, prompt_tokens, completion_tokens)"
    " values (:team_id, (now() at time zone 'utc')::date, :role, :prompt_tokens, :completion_tokens)"
    " on conflict (team_id, day, role) do update set"
    " prompt_tokens = token_usage.prompt_tokens + excluded.prompt_tokens,"
    " completion_tokens = token_usage.completion_tokens + excluded.completion_tokens returning day"
)
_CORRECT = text(
    "update token_usage set prompt_tokens = prompt_tokens + :prompt_tokens,"
    " completion_tokens = completion_tokens + :completion_tokens"
    " where team_id = :team_id and day = :day and role = :role"
)
_SELECT_DAYS = text(
    "select day, role, prompt_tokens, completion_tokens from token_usage"
    " where team_id = :team_id and day > (now() at time zone 'utc')::date - cast(:days as integer)"
    " order by day desc, role"
)
_SELECT_TODAY_BY_TEAM = text(
    "select t.id, coalesce(sum(u.prompt_tokens + u.completion_tokens), 0)::bigint from teams t left join token_usage u"
    " on u.team_id = t.id and u.day = (now() at time zone 'utc')::date group by t.id"
)


@dataclass(frozen=True, slots=True)
class UsageToday:
    """What a team used today.

    Attributes:
        tokens: tokens of prompts and answers.
        resets_in_s: seconds until the next day.
    """

    tokens: int
    resets_in_s: int


class RoleUsage(BaseModel):
    """The tokens that one kind of requests used on one day."""

    day: date
    role: InsightRole
    prompt_tokens: int
    completion_tokens: int


def read_usage_today(connection: Connection, team_id: str) -> UsageToday:
    """Read what a team used today."""
    return UsageToday(*connection.execute(_SELECT_TODAY, {"team_id": team_id}).one())


def add_usage(connection: Connection, team_id: str, role: InsightRole, prompt_tokens: int) -> date:
    """Add the tokens of a request that is about to begin, and return the day."""
    values = {"team_id": team_id, "role": role.value, "prompt_tokens": prompt_tokens, "completion_tokens": 0}
    return connection.execute(_ADD_TODAY, values).scalar_one()


def correct_usage(
    connection: Connection, team_id: str, role: InsightRole, day: date, prompt_tokens: int, completion_tokens: int
) -> None:
    """Correct a day's tokens by a difference: what a request used in fact, less what was added for it."""
    values = {"team_id": team_id, "role": role.value, "day": day}
    connection.execute(_CORRECT, values | {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens})


def list_usage(connection: Connection, team_id: str, days: int) -> list[RoleUsage]:
    """List what a team used today and on the days before it, newest first.

    Args:
        days: number of days, today included.
    """
    rows = connection.execute(_SELECT_DAYS, {"team_id": team_id, "days": days}).mappings()
    return [RoleUsage.model_validate(dict(row)) for row in rows]


def read_usage_by_team(connection: Connection) -> Mapping[str, int]:
    """Read what each team used today, in tokens by the team's id."""
    return dict(connection.execute(_SELECT_TODAY_BY_TEAM).tuples().all())
