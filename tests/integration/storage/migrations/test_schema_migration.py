"""Migrations on a real server: up, down and up again, the same tables as declared, and concurrent upgrades."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import uuid6
from alembic.config import Config
from pytest_alembic import MigrationContext
from pytest_alembic.tests import (  # noqa: F401 - pytest runs what is imported here
    test_model_definitions_match_ddl,
    test_single_head_revision,
    test_up_down_consistency,
    test_upgrade,
)
from sqlalchemy import Engine, make_url, text

from storage.connections import sync_engine
from storage.migrations.alembic_settings import MIGRATIONS_FOLDER, make_alembic_config
from storage.migrations.schema_migration import upgrade_schema
from storage.postgres.tables import metadata

ROOT = Path(__file__).resolve().parents[4]
INSERT_SENTENCE = text(
    'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary,'
    " first_emitted, first_text) values ('default', :id, '1.0', 1, 'A', 'Hi.', 0, 1, 'mark', 1, 'Hi.')"
)


@pytest.fixture
def empty_url(engine: Engine) -> Iterator[str]:
    """An empty database for the test."""
    name = f"parley_{uuid4().hex}"
    admin = engine.execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"create database {name}"))
    yield make_url(str(engine.url.render_as_string(hide_password=False))).set(database=name).render_as_string(False)
    with admin.connect() as connection:
        connection.execute(text(f"drop database {name} with (force)"))


@pytest.fixture
def alembic_engine(empty_url: str) -> Iterator[Engine]:
    """The engine on which pytest-alembic runs the migrations."""
    engine = sync_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture(name="alembic_config")
def our_alembic_config() -> Config:
    """The Alembic settings of pytest-alembic."""
    return make_alembic_config()


def describe_schema(engine: Engine) -> dict[str, set[Any]]:
    """The definitions of all objects in a schema, as Postgres prints them."""
    questions = {
        "columns": "select table_name, column_name, data_type, is_nullable, column_default"
        " from information_schema.columns where table_schema = 'public'",
        "constraints": "select conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
        " from pg_constraint where connamespace = 'public'::regnamespace",
        "indexes": "select tablename, indexname, indexdef from pg_indexes where schemaname = 'public'",
    }
    with engine.connect() as connection:
        return {
            name: {tuple(row) for row in connection.execute(text(question)) if row[0] != "alembic_version"}
            for name, question in questions.items()
        }


def test_the_migrated_schema_is_the_declared_one(empty_url: str) -> None:
    upgrade_schema(empty_url)
    engine = sync_engine(empty_url)
    try:
        migrated = describe_schema(engine)
        with engine.begin() as connection:
            connection.execute(text("drop schema public cascade"))
            connection.execute(text("create schema public"))
            connection.execute(text("create extension vector"))
            metadata.create_all(connection)
        assert migrated == describe_schema(engine)
    finally:
        engine.dispose()


def test_concurrent_upgrades_take_turns(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade_schema, [empty_url] * 4))
    engine = sync_engine(empty_url)
    with engine.connect() as connection:
        assert connection.execute(text("select id from teams")).scalars().all() == ["default"]
        assert connection.execute(text("select count(*) from alembic_version")).scalar() == 1
    engine.dispose()


def test_a_failed_migration_leaves_nothing(empty_url: str) -> None:
    engine = sync_engine(empty_url)
    with engine.begin() as connection:
        connection.execute(text("create sequence outbox"))
    with pytest.raises(Exception, match="already exists"):
        upgrade_schema(empty_url)
    with engine.connect() as connection:
        tables = connection.execute(text("select tablename from pg_tables where schemaname = 'public'")).scalars().all()
    engine.dispose()
    assert tables == []


def test_existing_rows_survive_the_second_version(alembic_runner: MigrationContext, empty_url: str) -> None:
    engine = sync_engine(empty_url)

    def meetings() -> list[tuple[Any, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text("select status, counters from meetings order by id"))]

    alembic_runner.migrate_up_to("0001")
    with engine.begin() as connection:
        connection.execute(text("insert into lanes (id, kind) values ('a', 'live')"))
        for status in ("live", "timed_out", "ended"):
            connection.execute(
                text(
                    "insert into meetings (id, team_id, clock, status, lane_id, config, counters)"
                    " values (:id, 'default', 'live', :status, 'a', '{}', '{\"late\": 2}')"
                ),
                {"id": uuid6.uuid7(), "status": status},
            )
    alembic_runner.migrate_up_to("0002")
    assert meetings() == [("live", {"late": 2}), ("timed_out", {"late": 2, "timed_out": 1}), ("ended", {"late": 2})]
    with engine.begin() as connection:
        connection.execute(text("update meetings set status = 'failed' where status = 'ended'"))
    alembic_runner.migrate_down_to("0001")
    assert meetings() == [("live", {"late": 2}), ("timed_out", {"late": 2}), ("ended", {"late": 2})]
    engine.dispose()


def test_older_captions_have_no_warnings(alembic_runner: MigrationContext, empty_url: str) -> None:
    engine = sync_engine(empty_url)
    meeting = uuid6.uuid7()
    alembic_runner.migrate_up_to("0003")
    with engine.begin() as connection:
        connection.execute(text("insert into lanes (id, kind) values ('a', 'live')"))
        connection.execute(
            text(
                "insert into meetings (id, team_id, clock, lane_id, config) values (:id, 'default', 'live', 'a', '{}')"
            ),
            {"id": meeting},
        )
        connection.execute(INSERT_SENTENCE, {"id": meeting})
        connection.execute(
            text(
                "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, text)"
                " values ('default', :id, '1.0', 'pt', 1, 'translated', 'Oi.')"
            ),
            {"id": meeting},
        )
    alembic_runner.migrate_up_to("0004")
    with engine.begin() as connection:
        assert connection.execute(text("select text, doubts from captions")).all() == [("Oi.", [])]
        connection.execute(text('update meetings set counters = \'{"late": 2, "in_doubt": 1}\''))
    alembic_runner.migrate_down_to("0003")
    with engine.connect() as connection:
        assert connection.execute(text("select text from captions")).scalars().all() == ["Oi."]
        assert connection.execute(text("select counters from meetings")).scalars().all() == [{"late": 2}]
    engine.dispose()


def test_a_pending_caption_and_its_counters_keep_their_meaning(
    alembic_runner: MigrationContext, empty_url: str
) -> None:
    engine = sync_engine(empty_url)
    meeting = uuid6.uuid7()
    alembic_runner.migrate_up_to("0007")
    with engine.begin() as connection:
        connection.execute(text("insert into lanes (id, kind, waiting) values ('a', 'live', 3)"))
        connection.execute(
            text(
                "insert into meetings (id, team_id, clock, lane_id, config, n, accepted, counters)"
                " values (:id, 'default', 'live', 'a', '{}', 4, 5, '{\"owed\": 1, \"late\": 2}')"
            ),
            {"id": meeting},
        )
        connection.execute(INSERT_SENTENCE, {"id": meeting})
        connection.execute(
            text(
                "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, shown, asked)"
                " values ('default', :id, '1.0', 'pt', 1, 'owed', 'Oi.', 2)"
            ),
            {"id": meeting},
        )
    alembic_runner.migrate_up_to("0008")
    with engine.connect() as connection:
        caption = connection.execute(text("select status, previous_text, attempts from captions")).one()
        counted = connection.execute(text("select last_committed, last_accepted, counters from meetings")).one()
        [calls] = connection.execute(text("select pending_calls from lanes")).one()
    assert (tuple(caption), tuple(counted), calls) == (("pending", "Oi.", 2), (4, 5, {"pending": 1, "late": 2}), 3)
    alembic_runner.migrate_down_to("0007")
    with engine.connect() as connection:
        assert connection.execute(text("select status, shown, asked from captions")).one() == ("owed", "Oi.", 2)
        assert connection.execute(text("select n, counters from meetings")).one() == (4, {"owed": 1, "late": 2})
    engine.dispose()


@pytest.mark.parametrize("folder", [ROOT, ROOT.parent], ids=["in the repository", "outside it"])
def test_importing_alembic_finds_the_library(folder: Path) -> None:
    code = (
        "import sys; sys.path.append(sys.argv[1]); import storage.migrations.schema_migration, alembic;"
        " print(alembic.__version__)"
    )
    answer = subprocess.run([sys.executable, "-c", code, str(ROOT)], cwd=folder, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert not (MIGRATIONS_FOLDER / "__init__.py").exists()
