"""Options that commands share, and the parsing of their values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from cluster.commands.terminal import console, sanitize_for_terminal
from operators.errors import InvalidInputError, UnavailableError
from serve.engines.selection import TranslationEngineOption

if TYPE_CHECKING:  # Showing a command's help doesn't need it.
    from cluster.settings import Settings
    from operators.meeting_config import Term

PortOption = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, metavar="PORT", show_default="PARLEY_PORT or 8000", help="Port on 127.0.0.1 for the HTTP API."
    ),
]
TranslatorOption = Annotated[
    TranslationEngineOption | None,
    typer.Option(
        show_default="PARLEY_TRANSLATOR or auto",
        help="Translation engine: `auto` uses the best one on this machine, `none` leaves every caption untranslated.",
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(metavar="URL", show_default="http://127.0.0.1:PARLEY_PORT", help="URL of the running system."),
]
TargetsOption = Annotated[str, typer.Option(metavar="TAGS", help="Languages to translate into, separated by commas.")]
GlossaryOption = Annotated[
    Path | None,
    typer.Option(
        "--glossary",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="CSV file with the required translations of terms.",
    ),
]
StyleOption = Annotated[
    str, typer.Option("--style", metavar="TEXT", help='Style of the translations, such as "formal".')
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_JSON_EXAMPLES = {
    "hosts": '["parley.example"]',
    "vllm_args": '{"max_model_len": 4096}',
    "translation_body": '{"reasoning_effort": "none"}',
}
"""An example value of each JSON setting."""


def read_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment, and configure the logs. A variable that is no setting is reported.

    Args:
        overrides: values by field name that replace those of the environment; None leaves a field unchanged.

    Raises:
        InvalidInputError: a setting is invalid. The error names the setting and the fix.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from cluster.log_setup import configure_logging
    from cluster.settings import Settings, misspelt_settings
    from operators.fields import to_invalid_input_error

    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        invalid = to_invalid_input_error(error)
        raise InvalidInputError(f"PARLEY_{invalid.field.upper()}", invalid.fix) from None
    except SettingsError as error:
        # The error has the name of the field only in its message.
        name = next(name for name in _JSON_EXAMPLES if re.search(rf"\b{name}\b", str(error)))
        raise InvalidInputError(f"PARLEY_{name.upper()}", f"must be JSON, such as {_JSON_EXAMPLES[name]}") from None
    configure_logging(settings.log_level)
    for name, suggestions in misspelt_settings().items():
        names = " or ".join(filter(None, (", ".join(suggestions[:-1]), *suggestions[-1:])))
        fix = f"did you mean {names}?" if names else "docs/settings.md lists the settings."
        console.print(f"[yellow]{sanitize_for_terminal(name)} is not a setting:[/] {fix}", soft_wrap=True)
    return settings


def find_running_server(url: str | None) -> str:
    """Check that a system responds at a URL, by default at the port of the settings on this machine.

    The system gets one request and no retry, so that a mistyped URL is reported at once.

    Returns:
        The URL without a trailing slash.

    Raises:
        InvalidInputError: the text is no URL.
        UnavailableError: no system responds there.
    """
    from cluster.api_client import identify_server

    address = f"http://127.0.0.1:{read_settings().port}" if url is None else url.rstrip("/")
    if not is_http_url(address):
        raise InvalidInputError("--server", "must be a URL such as http://127.0.0.1:8000")
    # The URL may contain a password, which must not appear in a message.
    printable_url = urlsplit(address)._replace(netloc=urlsplit(address).netloc.rpartition("@")[2]).geturl()
    match identify_server(address):
        case "parley":
            return address
        case "other":
            raise UnavailableError(
                f"the server at {printable_url} is no Parley, or is still starting: name another with `--server`"
            )
        case "nobody":
            raise UnavailableError(
                f"no Parley answers at {printable_url}: start one with `parley up`, or name another with `--server`"
            )


def is_http_url(text: str) -> bool:
    """Whether a text is an absolute URL of HTTP or HTTPS."""
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Unmatched brackets, or a port that is no number.
        return False


def read_language(tag: str) -> str:
    """Parse the language spoken, a language tag or `auto`.

    Raises:
        InvalidInputError: the text is neither.
    """
    from operators.fields import normalize_language_tag

    try:
        return tag if tag == "auto" else normalize_language_tag(tag)
    except ValueError as error:
        raise InvalidInputError("--language", str(error)) from None


def read_targets(text: str) -> tuple[str, ...]:
    """Parse the target languages, separated by commas, without duplicates.

    Raises:
        InvalidInputError: a word is no language tag.
    """
    from operators.fields import normalize_language_tag

    try:
        return tuple(dict.fromkeys(normalize_language_tag(word.strip()) for word in text.split(",") if word.strip()))
    except ValueError as error:
        raise InvalidInputError("--targets", str(error)) from None


def read_glossary_and_style(glossary: Path | None, style: str) -> tuple[tuple[Term, ...], str]:
    """Read the glossary file, if there is one, and check the style.

    Returns:
        The terms, and the style.

    Raises:
        InvalidInputError: the file or the style is invalid. The error names the option, or the place in the file.
    """
    from pydantic import ValidationError

    from cluster.recordings.glossary_file import read_glossary
    from operators.fields import to_invalid_input_error
    from operators.meeting_config import MeetingConfig

    terms = () if glossary is None else read_glossary(glossary)
    try:
        MeetingConfig(style=style)
    except ValidationError as error:
        raise InvalidInputError("--style", to_invalid_input_error(error).fix) from None
    return terms, style
