"""Content that Postgres or a codec refuses fails alone; an error for another reason is raised."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from storage.batch_commit.refused_content import escape_unstorable, is_refused_content, write_bisecting
from storage.records import OutboxEvent


def make_event(part: int) -> OutboxEvent:
    return OutboxEvent("default", "m", part, "status", {})


@given(st.lists(st.booleans(), max_size=40))
def test_everything_except_refused_parts_is_written_once_and_in_order(bad: list[bool]) -> None:
    written: list[int] = []
    refused: list[int] = []

    def write(parts: Sequence[int]) -> list[OutboxEvent]:
        if any(bad[part] for part in parts):
            raise UnicodeError
        written.extend(parts)
        return list(map(make_event, parts))

    def refuse(part: int, error: Exception) -> list[OutboxEvent]:
        assert isinstance(error, UnicodeError)
        refused.append(part)
        return []

    events = write_bisecting(range(len(bad)), write, refuse)
    assert written == [k for k, is_bad in enumerate(bad) if not is_bad]
    assert refused == [k for k, is_bad in enumerate(bad) if is_bad]
    assert [one.seq for one in events] == written


def test_an_unreachable_store_is_no_refusal_of_a_part() -> None:
    tries: list[int] = []

    def write(parts: Sequence[int]) -> list[OutboxEvent]:
        tries.append(len(parts))
        raise OperationalError("insert", {}, Exception("gone"))

    with pytest.raises(OperationalError):
        write_bisecting([1, 2, 3], write, lambda part, error: [])
    assert tries == [3]


REFUSED = {
    "NUL": ("select cast(:value as text)", "a\x00b"),
    "half a character": ("select cast(:value as text)", "a\ud83db"),
    "NUL in JSON": ("select cast(:value as jsonb)", '{"a": "\\u0000"}'),
    "no number": ("select cast(:value as int)", "one"),
    "a key twice": ("insert into teams (id, name) values ('default', :value)", "twice"),
    "a team that is not there": (
        "insert into meetings (id, team_id, clock, lane_id, config)"
        " values (gen_random_uuid(), :value, 'live', 'x', '{}')",
        "nobody",
    ),
    "too long for an index": (
        "create temporary table long (value text unique)",
        "insert into long select string_agg(md5(k::text), '') from generate_series(1, 900) as k",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_content_that_postgres_refuses_is_refused_content(engine: Engine, name: str) -> None:
    statement, value = REFUSED[name]
    with engine.connect() as connection, pytest.raises(Exception) as caught:  # noqa: PT011 - of several kinds
        if ":value" in statement:
            connection.execute(text(statement), {"value": value})
        else:
            connection.execute(text(statement))
            connection.execute(text(value))
    assert is_refused_content(caught.value)


@pytest.mark.parametrize("statement", ["select * from nowhere", "select pg_terminate_backend(pg_backend_pid())"])
def test_an_error_that_a_retry_or_release_may_fix_is_no_refused_content(engine: Engine, statement: str) -> None:
    with engine.connect() as connection:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of several kinds
            connection.execute(text(statement))
        connection.invalidate()
    assert not is_refused_content(caught.value)


def test_content_that_a_codec_refuses_is_refused_content() -> None:
    with pytest.raises(TypeError) as caught:
        orjson.dumps("\ud83d")
    assert is_refused_content(caught.value)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_escaped_text_can_be_stored(words: str) -> None:
    plain = escape_unstorable(words)
    assert "\x00" not in plain
    assert plain.encode().decode() == plain
