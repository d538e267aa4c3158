"""`parley openapi`: prints the OpenAPI description of the HTTP API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from cluster.commands.terminal import console, print_json
from operators.errors import InvalidInputError

EXAMPLES = """
Examples:

- `parley openapi --output openapi.json`
"""


def openapi(
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", dir_okay=False, show_default="standard output", help="The file to write; it is overwritten."
        ),
    ] = None,
) -> None:
    """Print the OpenAPI description of the HTTP API, as JSON. It needs no running system."""
    from serve.app_options import ApiOptions
    from serve.http.application import create_app

    # The application connects to its stores when it starts, which it doesn't here.
    description = create_app(ApiOptions(postgres_url="", redis_url="")).openapi()
    if output is None:
        print_json(description)
        return
    try:
        output.write_text(json.dumps(description, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInputError("--output", f"{output} can't be written: {error.strerror}") from error
    console.print(f"The description is in {output}.", markup=False, soft_wrap=True)
