"""The options that commands share, and what is made of their words."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from cluster.commands.terminal import console, shown
from operators.errors import Invalid, Unavailable
from serve.engines.choice import Translator

if TYPE_CHECKING:  # A command that shows its help needs none of it.
    from cluster.settings import Settings
    from operators.model import Term

Port = Annotated[
    int | None,
    typer.Option(
        min=1, max=65535, metavar="PORT", show_default="PARLEY_PORT or 8000", help="Port on 127.0.0.1 for the HTTP API."
    ),
]
TranslatorOption = Annotated[
    Translator | None,
    typer.Option(
        show_default="PARLEY_TRANSLATOR or auto",
        help="What translates: `auto` takes the best this machine has, `none` leaves every caption untranslated.",
    ),
]
Server = Annotated[
    str | None,
    typer.Option(metavar="URL", show_default="http://127.0.0.1:PARLEY_PORT", help="The running system."),
]
Targets = Annotated[str, typer.Option(metavar="TAGS", help="Languages to translate into, with commas between.")]
GlossaryFile = Annotated[
    Path | None,
    typer.Option(
        "--glossary", metavar="FILE", exists=True, dir_okay=False, help="How terms are to be translated: a CSV file."
    ),
]
StyleOption = Annotated[
    str, typer.Option("--style", metavar="TEXT", help='How translations should sound, such as "formal".')
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

_JSON = {
    "hosts": '["parley.example"]',
    "vllm_args": '{"max_model_len": 4096}',
    "translation_body": '{"reasoning_effort": "none"}',
}
"""An example of each setting that is written as JSON."""


def read_settings(**given: Any) -> Settings:
    """The settings of the environment, but for those given here that are not None. The logs are set up by them, too.

    Raises:
        Invalid: names the setting and the fix.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from cluster.logs import configure_logs
    from cluster.settings import Settings, misspelt_settings
    from operators.model import first_invalid

    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        invalid = first_invalid(error)
        raise Invalid(f"PARLEY_{invalid.field.upper()}", invalid.fix) from None
    except SettingsError as error:
        # It names the field in its words alone.
        name = next(name for name in _JSON if re.search(rf"\b{name}\b", str(error)))
        raise Invalid(f"PARLEY_{name.upper()}", f"must be JSON, such as {_JSON[name]}") from None
    configure_logs(settings.log_level)
    for name, meant in misspelt_settings().items():
        console.print(f"[yellow]{shown(name)} is no setting:[/] did you mean {meant}?", soft_wrap=True)
    return settings


def running_server(url: str | None) -> str:
    """Where the running system answers: at the URL given, or on this machine.

    Raises:
        Invalid: that is no URL.
        Unavailable: it doesn't answer there. Asked once, so that whoever mistyped it need not wait.
    """
    from cluster.client import who_answers

    address = f"http://127.0.0.1:{read_settings().port}" if url is None else url.rstrip("/")
    if not _is_url(address):
        raise Invalid("--server", "must be a URL such as http://127.0.0.1:8000")
    # What is asked may hold a password, and what is said must not.
    place = urlsplit(address)._replace(netloc=urlsplit(address).netloc.rpartition("@")[2]).geturl()
    match who_answers(address):
        case "parley":
            return address
        case "other":
            raise Unavailable(
                f"what answers at {place} is no Parley, or one that is still starting: name another with `--server`"
            )
        case "nobody":
            raise Unavailable(
                f"no Parley answers at {place}: start one with `parley up`, or name another with `--server`"
            )


def _is_url(word: str) -> bool:
    try:
        parts = urlsplit(word)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # Brackets that don't match, or no number where the port is.
        return False


def read_language(tag: str) -> str:
    """The language spoken: a tag, or `auto`.

    Raises:
        Invalid: it is neither.
    """
    from operators.model import language_tag

    try:
        return tag if tag == "auto" else language_tag(tag)
    except ValueError as error:
        raise Invalid("--language", str(error)) from None


def read_targets(words: str) -> tuple[str, ...]:
    """The languages to translate into, each once.

    Raises:
        Invalid: one is no language tag.
    """
    from operators.model import language_tag

    try:
        return tuple(dict.fromkeys(language_tag(word.strip()) for word in words.split(",") if word.strip()))
    except ValueError as error:
        raise Invalid("--targets", str(error)) from None


def read_wishes(glossary: Path | None, style: str) -> tuple[tuple[Term, ...], str]:
    """The terms of a glossary file, if there is one, and the style.

    Raises:
        Invalid: names the option, and the place in the file.
    """
    from pydantic import ValidationError

    from cluster.glossary_file import read_glossary
    from operators.model import MeetingConfig, first_invalid

    terms = () if glossary is None else read_glossary(glossary)
    try:
        MeetingConfig(style=style)
    except ValidationError as error:
        raise Invalid("--style", first_invalid(error).fix) from None
    return terms, style
