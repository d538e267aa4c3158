"""storage/postgres/engine_config_versions.py on a real Postgres: versions, rollbacks, and the watcher."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import structlog
from sqlalchemy import Engine, text

from operators.engine_config import EnginesConfig, FirefoxConfig
from operators.errors import ConflictError, NotFoundError
from storage.postgres.engine_config_versions import (
    EngineConfigWatcher,
    read_config_history,
    read_current_config,
    record_problems,
    roll_back_config,
    save_config,
    save_settings_config,
)

pytestmark = pytest.mark.usefixtures("clean_database")

OFF = EnginesConfig()
ONE = EnginesConfig(engines={"firefox": FirefoxConfig()}, translation=("firefox",))
TWO = EnginesConfig(engines={"firefox": FirefoxConfig(replicas=2)}, translation=("firefox",))


def request_config(engine: Engine, config: EnginesConfig, expected_version: int | None = None) -> int:
    with engine.begin() as connection:
        return save_config(connection, config, "request", expected_version=expected_version).version


def current_config(engine: Engine) -> EnginesConfig | None:
    with engine.begin() as connection:
        version = read_current_config(connection)
    return None if version is None else version.config


def test_the_newest_version_is_in_force_and_the_others_stay(engine: Engine) -> None:
    assert current_config(engine) is None
    assert [request_config(engine, config) for config in (ONE, TWO, OFF)] == [1, 2, 3]
    assert current_config(engine) == OFF
    with engine.begin() as connection:
        assert [(each.version, each.config) for each in read_config_history(connection, 2)[0]] == [(3, OFF), (2, TWO)]


def test_a_configuration_based_on_an_old_version_overwrites_nothing(engine: Engine) -> None:
    request_config(engine, ONE)
    request_config(engine, TWO, expected_version=1)
    with pytest.raises(ConflictError, match="version 2 is in force"):
        request_config(engine, OFF, expected_version=1)
    assert current_config(engine) == TWO


def test_concurrent_saves_are_two_versions(engine: Engine) -> None:
    threads = [threading.Thread(target=request_config, args=(engine, config)) for config in (ONE, TWO, OFF, ONE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.begin() as connection:
        assert [each.version for each in read_config_history(connection, 10)[0]] == [4, 3, 2, 1]


def test_a_rollback_saves_an_older_version_as_a_new_one(engine: Engine) -> None:
    request_config(engine, ONE)
    request_config(engine, TWO)
    with engine.begin() as connection:
        back = roll_back_config(connection)
        assert (back.version, back.config, back.origin) == (3, ONE, "rollback")
        assert roll_back_config(connection, 2).config == TWO
        with pytest.raises(NotFoundError, match="no version 9"):
            roll_back_config(connection, 9)
    assert current_config(engine) == TWO


def test_a_version_that_this_release_can_not_read_is_replaced(engine: Engine) -> None:
    request_config(engine, ONE)

    def unreadable(version: int) -> None:
        with engine.begin() as connection:
            connection.execute(
                text(
                    "insert into engine_config_versions (version, config, origin) values (:version, :config, 'request')"
                ),
                {"version": version, "config": '{"engines": {"a": {"kind": "of_tomorrow"}}}'},
            )

    unreadable(2)
    with engine.begin() as connection:
        back = roll_back_config(connection)
    assert (back.version, back.config) == (3, ONE)
    unreadable(4)
    with engine.begin() as connection:
        assert save_settings_config(connection, ONE).version == 5
    unreadable(6)
    assert request_config(engine, TWO, expected_version=6) == 7
    assert current_config(engine) == TWO


def test_a_rollback_before_the_first_version_is_an_error(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(NotFoundError):
        roll_back_config(connection)


def test_only_changed_settings_replace_a_version_that_was_saved_since(engine: Engine) -> None:
    with engine.begin() as connection:
        assert save_settings_config(connection, ONE).version == 1
        assert save_settings_config(connection, ONE).version == 1
        save_config(connection, TWO, "request")
        # The settings are the same as at the last start, so the version of the request stays in force.
        assert save_settings_config(connection, ONE).config == TWO
        assert save_settings_config(connection, OFF).version == 3


def test_problems_are_recorded_with_their_version(engine: Engine) -> None:
    request_config(engine, ONE)
    with engine.begin() as connection:
        record_problems(connection, 1, {"translation-firefox": "no room"})
        found = read_current_config(connection)
    assert found is not None
    assert found.problems == {"translation-firefox": "no room"}


@pytest.fixture
def following(postgres_url: str) -> Iterator[EngineConfigWatcher]:
    following = EngineConfigWatcher(postgres_url)
    yield following
    following.stop()


def wait_for_version(following: EngineConfigWatcher, version: int) -> None:
    deadline = time.monotonic() + 60
    while following.current is None or following.current.version != version:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_the_watcher_sees_each_version_and_that_there_is_none(engine: Engine, following: EngineConfigWatcher) -> None:
    assert following.wait_until_loaded(60)
    assert following.is_loaded
    assert following.current is None
    request_config(engine, ONE)
    wait_for_version(following, 1)
    assert following.current is not None
    assert following.current.config == ONE
    request_config(engine, TWO)
    wait_for_version(following, 2)


def test_a_version_that_can_not_be_read_leaves_the_last_one_in_force(
    engine: Engine, following: EngineConfigWatcher
) -> None:
    request_config(engine, ONE)
    wait_for_version(following, 1)
    unreadable = "insert into engine_config_versions (version, config, origin) values (2, '{\"from\": \"the future\"}', 'request')"
    with structlog.testing.capture_logs() as logs:
        with engine.begin() as connection:
            connection.execute(text(unreadable))
        while not logs:
            time.sleep(0.02)
    assert logs[0]["event"] == "the engine configuration can't be read"
    assert following.current is not None
    assert following.current.version == 1
    put_again = text("delete from engine_config_versions where version = 2")
    with engine.begin() as connection:
        connection.execute(put_again)
    request_config(engine, TWO)
    wait_for_version(following, 2)
