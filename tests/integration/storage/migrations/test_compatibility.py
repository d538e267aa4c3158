"""A database that Parley can't use is refused with a clear message before any write; and downgrades from a newer version."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import uuid6
from sqlalchemy import Engine, make_url, text

from cluster.diagnostics import findings, store_checks
from cluster.ports import find_free_port
from cluster.runtime.local_system import LocalSystem
from cluster.runtime.ray_job import run_lanes
from cluster.settings import Settings
from operators.errors import InvalidInputError, SetupError
from storage.connections import sync_engine
from storage.migrations import alembic_settings
from storage.migrations.compatibility import known_schema_versions
from storage.migrations.schema_migration import downgrade_schema, upgrade_schema
from tests.harness.processes.parley_command import run_parley

SECRET = "open-sesame"
MakeDatabase = Callable[[str], str]


@pytest.fixture
def make_database(engine: Engine) -> Iterator[MakeDatabase]:
    """A function that makes a database for the test, given the options of `create database`."""
    admin = engine.execution_options(isolation_level="AUTOCOMMIT")
    names: list[str] = []

    def make(options: str) -> str:
        names.append(f"parley_{uuid4().hex}")
        with admin.connect() as connection:
            connection.execute(text(f"create database {names[-1]} {options}"))
        return engine.url.set(drivername="postgresql", database=names[-1]).render_as_string(hide_password=False)

    yield make
    with admin.connect() as connection:
        for name in names:
            connection.execute(text(f"drop database {name} with (force)"))


@pytest.fixture
def empty_url(make_database: MakeDatabase) -> str:
    """An empty database."""
    return make_database("")


def test_a_database_without_pgvector_is_refused(empty_url: str) -> None:
    # A schema that is searched first hides the extension.
    execute(
        empty_url,
        "create schema hiding",
        "create view hiding.pg_available_extensions as select 'other'::name as name",
        f"alter database {make_url(empty_url).database} set search_path = hiding, pg_catalog, public",
    )
    with pytest.raises(SetupError, match="lacks the extension pgvector"):
        upgrade_schema(empty_url)


def execute(url: str, *statements: str) -> None:
    engine = sync_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def table_names(url: str) -> list[str]:
    engine = sync_engine(url)
    with engine.connect() as connection:
        found = connection.execute(text("select tablename from pg_tables where schemaname = 'public' order by 1"))
        names = list(found.scalars())
    engine.dispose()
    return names


def start_refusals(url: str, redis_url: str, folder: Path) -> list[str]:
    """The messages of `doctor`, `up` and the lanes of a cluster about a database."""
    settings = Settings(postgres_url=url, redis_url=redis_url, port=find_free_port(), translator="none", insight="none")
    finding = store_checks.check_postgres(settings)
    assert (finding.state, finding.blocks) == ("problem", True)
    said = [finding.advice]
    with pytest.raises(SetupError) as caught:
        LocalSystem(settings, folder).start()
    said.append(str(caught.value))
    with pytest.raises(SetupError) as caught, run_lanes(settings):
        pass
    return [*said, str(caught.value)]


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII", "EUC_JP"])
def test_a_database_that_is_not_in_utf8_is_refused(
    make_database: MakeDatabase, redis_url: str, tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = make_database(f"encoding '{encoding}' template template0 locale_provider libc lc_collate 'C' lc_ctype 'C'")
    # The client encoding of the environment changes nothing.
    monkeypatch.setenv("PGCLIENTENCODING", "UTF8" if encoding == "EUC_JP" else encoding)
    for said in start_refusals(url, redis_url, tmp_path):
        assert said.startswith(f"the database is encoded in {encoding}, which can't hold every language: make one with")
        assert "encoding 'UTF8' template template0" in said
        assert "PARLEY_POSTGRES_URL" in said
    assert table_names(url) == []


def test_a_client_encoding_of_the_environment_changes_no_text(empty_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    engine = sync_engine(empty_url)
    with engine.connect() as connection:
        assert connection.execute(text("select :said"), {"said": "日本語 😀"}).scalar() == "日本語 😀"
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(empty_url: str, redis_url: str, tmp_path: Path) -> None:
    upgrade_schema(empty_url)
    execute(empty_url, "update alembic_version set version_num = '9999'")
    for said in start_refusals(empty_url, redis_url, tmp_path):
        assert said.startswith("a newer Parley has used this database: its schema is 9999, and this version knows ")
        assert f"run `parley database downgrade {known_schema_versions()[0]}` with the newer version first" in said


@pytest.mark.parametrize(
    ("statements", "table"),
    [
        (["create table meetings (id int)"], "meetings"),
        (["create view sentences as select 1 as id"], "sentences"),
        (["create table alembic_version (version_num text)", "create table teams (id int)"], "teams"),
        # Another program that manages its schema with Alembic.
        (
            ["create table alembic_version (version_num text)", "insert into alembic_version values ('ae1027a6acf')"],
            "alembic_version",
        ),
        (
            ["create table alembic_version (version_num text)", "insert into alembic_version values ('0003')"],
            "alembic_version",
        ),
        (
            [
                "create table alembic_version (version_num text)",
                "insert into alembic_version values ('ae1027a6acf')",
                *(f"create table {name} (id int)" for name in ("lanes", "meetings", "teams")),
            ],
            "alembic_version",
        ),
    ],
)
def test_a_database_of_another_program_is_refused_and_left_alone(
    empty_url: str, redis_url: str, tmp_path: Path, statements: list[str], table: str
) -> None:
    execute(empty_url, *statements)
    before = table_names(empty_url)
    for said in start_refusals(empty_url, redis_url, tmp_path):
        assert said.startswith(
            f"the database has a table `{table}` that is not Parley's: give Parley a database of its own"
        )
    assert table_names(empty_url) == before


def test_tables_of_other_programs_do_no_harm(empty_url: str) -> None:
    execute(empty_url, "create table orders (id int)", "create schema other", "create table other.meetings (id int)")
    upgrade_schema(empty_url)
    upgrade_schema(empty_url)
    assert {"orders", "meetings"} <= set(table_names(empty_url))


@pytest.mark.parametrize(
    "url",
    ["nonsense", f"http://me:{SECRET}@db/parley", f"mysql://me:{SECRET}@db/parley", f"postgresql://me:{SECRET}@db:x/y"],
)
def test_an_invalid_postgres_url_is_refused_with_a_clear_message(
    redis_url: str, tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = (
        "PARLEY_POSTGRES_URL: must begin with postgresql:// and be such as postgresql://user:password@host/database"
    )
    assert_address_refused(
        Settings(postgres_url=url, redis_url=redis_url, port=find_free_port()),
        wanted,
        store_checks.check_postgres,
        tmp_path,
    )
    done = run_parley("database", "downgrade", "0005", PARLEY_POSTGRES_URL=url)
    assert (done.returncode, done.stderr.strip()) == (1, f"parley: {wanted}")
    done = run_parley(
        "doctor", PARLEY_POSTGRES_URL=url, PARLEY_REDIS_URL=redis_url, PARLEY_DATA_DIR=str(tmp_path), COLUMNS="300"
    )
    assert done.returncode == 1
    assert wanted in done.stdout
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        f"http://:{SECRET}@cache",
        f"mysql://:{SECRET}@cache/0",
        f"redis://:{SECRET}@cache:x/0",
        "redis://h/x",
    ],
)
def test_an_invalid_redis_url_is_refused_with_a_clear_message(postgres_url: str, tmp_path: Path, url: str) -> None:
    wanted = "PARLEY_REDIS_URL: must begin with redis:// or rediss:// and be such as redis://:password@host/0"
    assert_address_refused(
        Settings(postgres_url=postgres_url, redis_url=url, port=find_free_port()),
        wanted,
        store_checks.check_valkey,
        tmp_path,
    )


def assert_address_refused(
    settings: Settings, advice: str, examine: Callable[[Settings], findings.Finding], folder: Path
) -> None:
    finding = examine(settings)
    assert (finding.state, finding.blocks, finding.advice) == ("problem", True, advice)
    with pytest.raises(InvalidInputError) as caught:
        LocalSystem(settings, folder).start()
    assert str(caught.value) == advice
    with pytest.raises(InvalidInputError) as caught, run_lanes(settings):
        pass
    assert str(caught.value) == advice


# --- downgrades ---


def use_older_version(folder: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The previous version of Parley, which lacks the newest migration."""
    copy = folder / "alembic"
    shutil.copytree(alembic_settings.MIGRATIONS_FOLDER, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (newest,) = (copy / "versions").glob(f"{known_schema_versions()[0]}_*.py")
    newest.unlink()
    monkeypatch.setattr(alembic_settings, "MIGRATIONS_FOLDER", copy)
    return monkeypatch


def test_a_downgrade_to_an_older_version_works_as_the_docs_say(
    empty_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest, before, *_ = known_schema_versions()
    upgrade_schema(empty_url)
    meeting = uuid6.uuid7()
    execute(
        empty_url,
        "insert into lanes (id, kind) values ('a', 'live')",
        "insert into meetings (id, team_id, clock, lane_id, config, title)"
        f" values ('{meeting}', 'default', 'live', 'a', '{{}}', 'Monday')",
    )
    with monkeypatch.context() as patch:
        use_older_version(tmp_path, patch)
        assert known_schema_versions()[0] == before
        with pytest.raises(SetupError, match=f"its schema is {newest}, .* run `parley database downgrade {before}`"):
            upgrade_schema(empty_url)
    done = run_parley("database", "downgrade", before, PARLEY_POSTGRES_URL=empty_url)
    assert done.returncode == 0, done.stderr
    assert f"The database has schema {before} now." in done.stderr
    with monkeypatch.context() as patch:
        patch.setattr(alembic_settings, "MIGRATIONS_FOLDER", tmp_path / "alembic")
        upgrade_schema(empty_url)
        assert meeting_titles(empty_url) == ["Monday"]
    # Then the newer version upgrades the schema again.
    upgrade_schema(empty_url)
    assert meeting_titles(empty_url) == ["Monday"]


def meeting_titles(url: str) -> list[str]:
    engine = sync_engine(url)
    with engine.connect() as connection:
        found = list(connection.execute(text("select title from meetings")).scalars())
    engine.dispose()
    return found


def test_the_embedded_database_can_be_downgraded(open_folder: Path) -> None:
    from storage.embedded_servers.embedded_stores import EmbeddedStores

    data = open_folder / "going-back"
    done = run_parley("database", "downgrade", "0005", PARLEY_DATA_DIR=str(data))
    assert done.returncode == 1
    assert "there is no embedded database yet" in done.stderr
    with EmbeddedStores(data, durable=False) as urls:
        upgrade_schema(urls.postgres)
    done = run_parley("database", "downgrade", "0005", PARLEY_DATA_DIR=str(data))
    assert done.returncode == 0, done.stderr
    with EmbeddedStores(data, durable=False) as urls:
        engine = sync_engine(urls.postgres)
        with engine.connect() as connection:
            assert connection.execute(text("select version_num from alembic_version")).scalars().all() == ["0005"]
        engine.dispose()


def test_a_downgrade_is_refused_while_lanes_run(empty_url: str) -> None:
    upgrade_schema(empty_url)
    engine = sync_engine(empty_url)
    with engine.connect() as lanes:
        lanes.execute(text("select pg_try_advisory_lock(hashtext('parley.flow'))"))
        with pytest.raises(SetupError, match="lanes run on this database: stop them first"):
            downgrade_schema(empty_url, "0005")
    engine.dispose()
    downgrade_schema(empty_url, "0005")


@pytest.mark.parametrize("name", ["", "-1", "head", "base", "0000", "9999", "0005_captions"])
def test_a_downgrade_to_an_unknown_schema_is_refused(empty_url: str, name: str) -> None:
    upgrade_schema(empty_url)
    with pytest.raises(InvalidInputError, match="SCHEMA: must be one of 0001, 0002"):
        downgrade_schema(empty_url, name)
