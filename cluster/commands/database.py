"""`parley database`: downgrades the database to the schema of an older version."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cluster.commands.shared_options import read_settings
from cluster.commands.terminal import console, print_status
from operators.errors import SetupError

if TYPE_CHECKING:  # Showing a command's help doesn't need it.
    from cluster.settings import Settings

EXAMPLES = """
Examples:

- `parley database downgrade 0005`
"""

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Downgrade the database to the schema of an older version.",
    epilog=EXAMPLES,
)


@app.callback()
def database() -> None:
    """Downgrade the database to the schema of an older version."""


@app.command(epilog=EXAMPLES)
def downgrade(
    schema: Annotated[str, typer.Argument(metavar="SCHEMA", help="Revision of the older version's schema.")],
) -> None:
    """Downgrade the database to the schema of an older Parley version, before that version is started.

    Run the command with the newer version, after the system has stopped. Data that the older schema can't store is lost:
    back up the database first. The database is that of PARLEY_POSTGRES_URL, or the embedded one.
    """
    from sqlalchemy.exc import DBAPIError

    from storage.migrations.schema_migration import downgrade_schema as migrate

    try:
        with _database_url(read_settings()) as url:
            migrate(url, schema)
    except DBAPIError as error:
        from cluster.runtime import store_error_message

        raise SetupError(store_error_message(error)) from error
    console.print(f"The database has schema {schema} now. Start the older version.")


@contextmanager
def _database_url(settings: Settings) -> Generator[str]:
    """Yield the URL of the database. The embedded one runs inside the `with` block."""
    from storage.embedded_servers.embedded_stores import EmbeddedStores, default_data_dir
    from storage.store_urls import check_postgres_url

    if settings.postgres_url:
        url = settings.postgres_url.get_secret_value()
        check_postgres_url(url)
        yield url
        return
    stores = EmbeddedStores(settings.data_dir or default_data_dir())
    if stores.last_urls() is None:
        raise SetupError("there is no embedded database yet: name the data folder with PARLEY_DATA_DIR")
    try:
        yield stores.start(print_status).postgres
    finally:
        stores.stop()
