"""The command line that the forwarders share, and the parameters of a service's address."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from source_forwarder import TranscriptService


def add_parameters(url: str, defaults: Mapping[str, str], given: Sequence[str]) -> str:
    """Add parameters to an address.

    Args:
        url: the address. Its own parameters replace the defaults.
        defaults: the default parameters.
        given: `NAME=VALUE` from the command line, which replace both. An empty value removes the parameter.
    """
    parts = urlsplit(url)
    own = dict(option.split("=", 1) for option in given)
    parameters = {**defaults, **dict(parse_qsl(parts.query)), **own}
    query = urlencode({name: value for name, value in parameters.items() if value})
    return urlunsplit(parts._replace(query=query))


def parse_parameter(text: str) -> str:
    """Check a `NAME=VALUE` of the command line.

    Raises:
        argparse.ArgumentTypeError: it has another form.
    """
    name, separator, _ = text.partition("=")
    if not name or not separator:
        raise argparse.ArgumentTypeError("must be NAME=VALUE")
    return text


def build_parser(
    service: type[TranscriptService], description: str, *, has_sound: bool = True
) -> argparse.ArgumentParser:
    """Build the parser of a forwarder's command line.

    Args:
        service: the service.
        description: the program's purpose.
        has_sound: whether the service needs sound, and a meeting of Parley.
    """
    forward_variable = f"{service.source.upper()}_FORWARD_KEY"
    keys = f"{service.key_variable} is {service.title}'s key. " if service.key_variable else ""
    parser = argparse.ArgumentParser(
        description=description,
        epilog=f"Environment: {keys}{forward_variable} is the source's secret in Parley, if it has one.",
    )
    if has_sound:
        parser.add_argument("meeting", help="id of the meeting in Parley")
        parser.add_argument("sound", help="WAV file (16 kHz, mono, 16 bits), or - for such samples from stdin")
        parser.add_argument("--speed", type=float, default=1.0, help="speed of the sound (default: 1, real time)")
    parser.add_argument("--url", default=service.default_url, help="address of the service (default: %(default)s)")
    parser.add_argument("--parley", default="ws://127.0.0.1:8000", help="address of Parley (default: %(default)s)")
    parser.add_argument("--session", default="default", help="name of this connection, if a meeting has several")
    parser.add_argument("--speaker", help="name of the speaker, if the sound has only one")
    return parser


def add_option_argument(parser: argparse.ArgumentParser, example: str) -> None:
    """Add `--option NAME=VALUE`, a parameter of the service's address.

    Args:
        parser: the parser.
        example: a parameter that users often change.
    """
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=parse_parameter,
        metavar="NAME=VALUE",
        help=f"parameter of the transcription, such as {example}; may be repeated",
    )
