"""The models of this machine: which there are, and how more are pulled, from the Hugging Face hub and from Mozilla."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import httpx

from cluster.downloads import Remote, fetch, get
from operators.errors import Invalid, SetupFailed, Unavailable, Unknown
from serve.engines.mozilla import find_models
from serve.presets import preset

HUB = "https://huggingface.co"
"""Where the hub is; `HF_ENDPOINT` names a mirror, as for the hub's own tools."""
MOZILLA = "https://firefox.settings.services.mozilla.com/v1"
"""Firefox's Remote Settings. It says itself where its attachments lie."""
COLLECTION = "/buckets/main/collections/translations-models-v2/records"

PULLING = ".pulling"
"""The folder in the models folder where what isn't whole yet lies, so that nothing takes it for a model."""

_PAIR = re.compile(r"^([a-z]{2,3})-([a-z]{2,3})$")
_HUB_MODEL = re.compile(r"^\w[\w.-]*/\w[\w.-]*$")
_WANTED = re.compile(r"\.(safetensors|json|txt|model|jinja)$|^(LICENSE|NOTICE)", re.IGNORECASE)
"""What of a model on the hub vLLM reads, and what its licence asks to be kept."""

Kind = Literal["firefox", "hub", "gguf"]


@dataclass(frozen=True, slots=True)
class Found:
    """A model on this machine. `size` is in bytes."""

    name: str
    kind: Kind
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be fetched.

    Attributes:
        name: of the folder that it gets.
        files: what is in it.
        packed: those that come compressed, with the hash of what is in them.
    """

    name: str
    files: tuple[Remote, ...]
    packed: dict[str, str | None]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(file.size for file in self.files)


def installed(folder: Path | None) -> list[Found]:
    """The models there are: Firefox's that are installed, all in the models folder, and those in the hub's own cache.

    Raises:
        SetupFailed: the folder is not there.
    """
    found = [
        Found("-".join(pair), "firefox", files.model.parent, _bytes(files.model.parent))
        for pair, files in sorted(find_models(folder).items())
    ]
    for each in sorted(folder.iterdir()) if folder is not None else []:
        if each.is_dir() and not each.name.startswith("."):
            found += _in_folder(each, each.name.replace("--", "/", 1))
        elif each.suffix == ".gguf":
            found.append(Found(each.name, "gguf", each, each.stat().st_size))
    cache = _cache()
    for each in sorted(cache.glob("models--*/snapshots/*")) if cache.is_dir() else []:
        found += _in_folder(each, each.parents[1].name.removeprefix("models--").replace("--", "/", 1))
    return found


def plan(name: str) -> Plan:
    """Find out what a model consists of.

    Args:
        name: a preset's, a hub model's (`Qwen/Qwen3-8B`), one file of one (`org/name:file.gguf`), or a Firefox pair (`en-de`).

    Raises:
        Invalid: the name is none of these.
        Unavailable, Refused, Unknown: as `cluster.downloads.get` does.
    """
    if chosen := preset(name):
        return _hub(chosen.model, chosen.file)
    if pair := _PAIR.match(name):
        return _firefox(pair[1], pair[2])
    model, _, file = name.partition(":")
    if _HUB_MODEL.match(model):
        return _hub(model, file or None)
    raise Invalid(
        "NAME",
        "a preset (`parley models list`), a model on the hub (org/name), a file of one (org/name:file.gguf), or en-de",
    )


def pull(wanted: Plan, folder: Path, advance: Callable[[int], None]) -> Path:
    """Fetch a model. It appears in the folder only when it is whole; what is cut off goes on the next time.

    Args:
        wanted: what.
        folder: the models folder; made where it isn't there.
        advance: told of bytes as they come.

    Returns:
        Where it lies: a folder, or a GGUF file.

    Raises:
        SetupFailed, Unavailable, Refused, Unknown: as `cluster.downloads.fetch` does.
    """
    staging, final = folder / PULLING / wanted.name, folder / wanted.name
    try:
        fetch(wanted.files, staging, advance)
        for file in wanted.files:
            if file.name in wanted.packed:
                _unpack(staging / file.name, wanted.packed[file.name])
        if not final.exists():
            staging.rename(final)
        else:
            for each in staging.iterdir():
                each.replace(final / each.name)
            staging.rmdir()
    except OSError as error:
        raise SetupFailed(f"{folder} can't be written: {error.strerror}; name another with --to") from error
    with_gguf = [file.name for file in wanted.files if file.name.endswith(".gguf")]
    return final / with_gguf[0] if with_gguf else final


def _hub(model: str, file: str | None) -> Plan:
    hub = os.environ.get("HF_ENDPOINT", HUB).rstrip("/")
    token = os.environ.get("HF_TOKEN")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    entries: list[dict[str, Any]] = []
    url: str | None = f"{hub}/api/models/{model}/tree/main"
    while url:
        answer = get(url, headers)
        entries += cast(list[dict[str, Any]], _json(answer))
        url = answer.links.get("next", {}).get("url")
    there = {str(each["path"]): each for each in entries if each["type"] == "file"}
    names = [file] if file else [name for name in there if _WANTED.search(name)]
    if file and file not in there:
        raise Unknown(f"{model} has no {file}; it has {_some(name for name in there if name.endswith('.gguf'))}")
    if not file and not any(name.endswith(".safetensors") for name in names):
        raise Unknown(f"{model} has no safetensors, which vLLM reads: name a file, as {model}:{_some(there)}")
    files = tuple(
        Remote(
            f"{hub}/{model}/resolve/main/{name}",
            name,
            int(there[name]["size"]),
            (there[name].get("lfs") or {}).get("oid"),
            headers,
        )
        for name in names
    )
    return Plan(model.replace("/", "--"), files, {})


def _firefox(source: str, target: str) -> Plan:
    records = cast(list[dict[str, Any]], _json(get(MOZILLA + COLLECTION))["data"])
    base = str(_json(get(f"{MOZILLA}/"))["capabilities"]["attachments"]["base_url"])
    of_pair = [each for each in records if (each["sourceLanguage"], each["targetLanguage"]) == (source, target)]
    # The engine reads models of major version 3; of one pair there may be several: the newest that is no alpha.
    versions = {str(each["version"]) for each in of_pair if re.fullmatch(r"3\.\d+", str(each["version"]))}
    if not versions:
        direct = {(each["sourceLanguage"], each["targetLanguage"]) for each in records}
        into = sorted({target for source_, target in direct if source_ == source})
        raise Unknown(
            f"Mozilla has no model from {source} to {target}; from {source} there are {_some(into) or 'none'}"
        )
    newest = max(versions, key=lambda version: int(version.partition(".")[2]))
    # Of one version there may be several architectures as well: the one of a single model.
    chosen = [each for each in of_pair if each["version"] == newest]
    architecture = min(str(each.get("architecture")) for each in chosen if each["fileType"] == "model")
    chosen = [each for each in chosen if str(each.get("architecture")) == architecture]
    files: list[Remote] = []
    packed: dict[str, str | None] = {}
    for each in chosen:
        attachment = each["attachment"]
        name = str(each["name"])
        if str(attachment["location"]).endswith(".zst"):
            name += ".zst"
            packed[name] = each.get("decompressedHash")
        files.append(
            Remote(base.rstrip("/") + "/" + attachment["location"], name, int(attachment["size"]), attachment["hash"])
        )
    return Plan(f"{source}-{target}", tuple(files), packed)


def _unpack(path: Path, sha256: str | None) -> None:
    try:
        import fxtranslate
    except ImportError as error:
        raise SetupFailed(
            "the package fxtranslate is not installed, which unpacks these: `make setup` installs it"
        ) from error
    try:
        content = fxtranslate.discovery.verify_and_decompress(path.read_bytes(), sha256)
    except ValueError as error:
        path.unlink()
        raise Unavailable(f"{path.name} does not unpack to what its record says: pull it again") from error
    path.with_suffix("").write_bytes(content)
    path.unlink()


def _json(answer: httpx.Response) -> Any:
    try:
        return answer.json()
    except json.JSONDecodeError as error:
        raise Unavailable(
            f"{answer.url.host} did not answer with JSON: is there a proxy that asks to log in?"
        ) from error


def _in_folder(folder: Path, name: str) -> list[Found]:
    found = [Found(f"{name}:{file.name}", "gguf", file, file.stat().st_size) for file in sorted(folder.glob("*.gguf"))]
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        found.insert(0, Found(name, "hub", folder, _bytes(folder, "*.safetensors")))
    return found


def _bytes(folder: Path, pattern: str = "*") -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern) if file.is_file())


def _cache() -> Path:
    """The hub's own cache, where its tools and vLLM put what they fetch."""
    if cache := os.environ.get("HF_HUB_CACHE"):
        return Path(cache)
    if home := os.environ.get("HF_HOME"):
        return Path(home) / "hub"
    try:
        return Path.home() / ".cache" / "huggingface" / "hub"
    except RuntimeError:
        raise SetupFailed("this user has no home directory for models: name a folder with HF_HOME") from None


def _some(names: Any) -> str:
    listed = sorted(names)
    return ", ".join(listed[:12]) + (" …" if len(listed) > 12 else "")
