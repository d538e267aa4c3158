"""storage/configs.py on a real Postgres: versions, going back, and who follows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from operators.errors import Refused, Unknown
from operators.models import Firefox, ModelsConfig
from storage.configs import Following, current, history, note_problems, roll_back, save, save_settings

pytestmark = pytest.mark.usefixtures("clean_database")

OFF = ModelsConfig()
ONE = ModelsConfig(engines={"firefox": Firefox()}, translation=("firefox",))
TWO = ModelsConfig(engines={"firefox": Firefox(replicas=2)}, translation=("firefox",))


def put(engine: Engine, config: ModelsConfig, expected_version: int | None = None) -> int:
    with engine.begin() as connection:
        return save(connection, config, "request", expected_version=expected_version).version


def now(engine: Engine) -> ModelsConfig | None:
    with engine.begin() as connection:
        version = current(connection)
    return None if version is None else version.config


def test_the_newest_version_is_in_force_and_the_others_stay(engine: Engine) -> None:
    assert now(engine) is None
    assert [put(engine, config) for config in (ONE, TWO, OFF)] == [1, 2, 3]
    assert now(engine) == OFF
    with engine.begin() as connection:
        assert [(each.version, each.config) for each in history(connection, 2)[0]] == [(3, OFF), (2, TWO)]


def test_what_was_made_from_another_version_overwrites_nothing(engine: Engine) -> None:
    put(engine, ONE)
    put(engine, TWO, expected_version=1)
    with pytest.raises(Refused, match="version 2 is in force"):
        put(engine, OFF, expected_version=1)
    assert now(engine) == TWO


def test_two_that_are_saved_at_once_are_two_versions(engine: Engine) -> None:
    threads = [threading.Thread(target=put, args=(engine, config)) for config in (ONE, TWO, OFF, ONE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.begin() as connection:
        assert [each.version for each in history(connection, 10)[0]] == [4, 3, 2, 1]


def test_going_back_makes_a_new_version_of_an_older_one(engine: Engine) -> None:
    put(engine, ONE)
    put(engine, TWO)
    with engine.begin() as connection:
        back = roll_back(connection)
        assert (back.version, back.config, back.origin) == (3, ONE, "rollback")
        assert roll_back(connection, 2).config == TWO
        with pytest.raises(Unknown, match="no version 9"):
            roll_back(connection, 9)
    assert now(engine) == TWO


def test_a_version_that_this_release_can_not_read_is_replaced(engine: Engine) -> None:
    put(engine, ONE)

    def unreadable(version: int) -> None:
        with engine.begin() as connection:
            connection.execute(
                text("insert into model_configs (version, config, origin) values (:version, :config, 'request')"),
                {"version": version, "config": '{"engines": {"a": {"kind": "of_tomorrow"}}}'},
            )

    unreadable(2)
    with engine.begin() as connection:
        back = roll_back(connection)
    assert (back.version, back.config) == (3, ONE)
    unreadable(4)
    with engine.begin() as connection:
        assert save_settings(connection, ONE).version == 5
    unreadable(6)
    assert put(engine, TWO, expected_version=6) == 7
    assert now(engine) == TWO


def test_there_is_nothing_to_go_back_to_before_the_first(engine: Engine) -> None:
    with engine.begin() as connection, pytest.raises(Unknown):
        roll_back(connection)


def test_settings_come_into_force_when_they_change_and_leave_what_was_set_since(engine: Engine) -> None:
    with engine.begin() as connection:
        assert save_settings(connection, ONE).version == 1
        assert save_settings(connection, ONE).version == 1
        save(connection, TWO, "request")
        # The next start says the same as the last one: what was asked for meanwhile stays.
        assert save_settings(connection, ONE).config == TWO
        assert save_settings(connection, OFF).version == 3


def test_what_could_not_be_started_is_noted_with_its_version(engine: Engine) -> None:
    put(engine, ONE)
    with engine.begin() as connection:
        note_problems(connection, 1, {"translation-firefox": "no room"})
        found = current(connection)
    assert found is not None
    assert found.problems == {"translation-firefox": "no room"}


@pytest.fixture
def following(postgres_url: str) -> Iterator[Following]:
    following = Following(postgres_url)
    yield following
    following.stop()


def seen(following: Following, version: int) -> None:
    until = time.monotonic() + 60
    while following.current is None or following.current.version != version:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_who_follows_knows_each_version_and_that_there_is_none(engine: Engine, following: Following) -> None:
    assert following.wait(60)
    assert following.known
    assert following.current is None
    put(engine, ONE)
    seen(following, 1)
    assert following.current is not None
    assert following.current.config == ONE
    put(engine, TWO)
    seen(following, 2)


def test_a_version_that_can_not_be_read_leaves_the_last_one_in_force(engine: Engine, following: Following) -> None:
    put(engine, ONE)
    seen(following, 1)
    with engine.begin() as connection:
        connection.execute(
            text(
                "insert into model_configs (version, config, origin) values (2, '{\"from\": \"the future\"}', 'request')"
            )
        )
    time.sleep(0.6)
    assert following.current is not None
    assert following.current.version == 1
    put_again = text("delete from model_configs where version = 2")
    with engine.begin() as connection:
        connection.execute(put_again)
    put(engine, TWO)
    seen(following, 2)
