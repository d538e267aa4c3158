"""Models on this machine: finds them, and downloads more from the Hugging Face hub and from Mozilla."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from huggingface_hub import HfApi, constants, hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import build_hf_headers

from cluster.model_store.downloads import HTTP_TIMEOUT_S, RemoteFile, download_errors, download_files, fetch_json
from operators.errors import InvalidInputError, NotFoundError, SetupError, UnavailableError
from serve.engines.firefox.model_files import find_models
from serve.engines.model_presets import find_preset

MOZILLA_URL = "https://firefox.settings.services.mozilla.com/v1"
"""URL of Firefox's Remote Settings. Its root resource has the URL of the attachments."""
MOZILLA_RECORDS_PATH = "/buckets/main/collections/translations-models-v2/records"

STAGING_FOLDER = ".pulling"
"""Name of the folder for partial downloads within the models folder. The engines ignore it."""

_LANGUAGE_PAIR = re.compile(r"^([a-z]{2,3})-([a-z]{2,3})$")
_HUB_MODEL_NAME = re.compile(r"^\w[\w.-]*/\w[\w.-]*$")
_NEEDED_FILES = re.compile(r"\.(safetensors|json|txt|model|jinja)$|^(LICENSE|NOTICE)", re.IGNORECASE)
"""Pattern of the files of a hub model that vLLM reads, or that its licence requires to keep."""

ModelKind = Literal["firefox", "hub", "gguf"]


@dataclass(frozen=True, slots=True)
class InstalledModel:
    """A model on this machine.

    Attributes:
        name: its name in `parley models`.
        kind: `firefox`, `hub` (safetensors) or `gguf`.
        path: its folder, or its GGUF file.
        size_bytes: size of its files in bytes.
    """

    name: str
    kind: ModelKind
    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DownloadPlan:
    """The files of a model to download.

    Attributes:
        name: name of the model's folder.
        files: the files.
        decompressed_hashes: for each compressed file, the SHA-256 of its decompressed content, if known.
    """

    name: str
    files: tuple[RemoteFile, ...]
    decompressed_hashes: dict[str, str | None]

    @property
    def size_bytes(self) -> int:
        """Size of the download in bytes."""
        return sum(file.size_bytes for file in self.files)


def find_installed_models(folder: Path | None) -> list[InstalledModel]:
    """Find the installed Firefox models, the models in a folder, and those in the hub's cache.

    Args:
        folder: the models folder, if there is one.

    Raises:
        SetupError: the folder does not exist.
    """
    models = [
        InstalledModel("-".join(pair), "firefox", files.model.parent, _folder_size_bytes(files.model.parent))
        for pair, files in sorted(find_models(folder).items())
    ]
    for path in sorted(folder.iterdir()) if folder is not None else []:
        if path.is_dir() and not path.name.startswith("."):
            models += _models_in_folder(path, path.name.replace("--", "/", 1))
        elif path.suffix == ".gguf":
            models.append(InstalledModel(path.name, "gguf", path, path.stat().st_size))
    cache_dir = Path(constants.HF_HUB_CACHE)
    for path in sorted(cache_dir.glob("models--*/snapshots/*")) if cache_dir.is_dir() else []:
        models += _models_in_folder(path, path.parents[1].name.removeprefix("models--").replace("--", "/", 1))
    return models


def plan_download(name: str) -> DownloadPlan:
    """Look up the files of a model.

    Args:
        name: a preset, a hub model (`Qwen/Qwen3-8B`), one file of it (`org/name:file.gguf`), or a Firefox pair (`en-de`).

    Raises:
        InvalidInputError: the name has none of these forms.
        SetupError: `HF_HUB_OFFLINE` is set.
        UnavailableError: the server can't be reached, or does not answer as expected.
        ConflictError: the server requires an account.
        NotFoundError: the server has no such model or file.
    """
    if known_preset := find_preset(name):
        return _plan_hub_download(known_preset.model, known_preset.file)
    if pair := _LANGUAGE_PAIR.match(name):
        return _plan_firefox_download(pair[1], pair[2])
    model, _, file = name.partition(":")
    if _HUB_MODEL_NAME.match(model):
        return _plan_hub_download(model, file or None)
    raise InvalidInputError(
        "NAME",
        "must be a preset (`parley models list`), a hub model (org/name), a file of it (org/name:file.gguf), or a Firefox pair"
        " such as en-de",
    )


def pull_model(download: DownloadPlan, folder: Path, advance: Callable[[int], None]) -> Path:
    """Download a model. It appears in the folder only when it is complete. The next call resumes an interrupted download.

    Args:
        download: the files of the model.
        folder: the models folder, which is created if it doesn't exist.
        advance: called with the number of further bytes.

    Returns:
        The path of the model's folder, or of its GGUF file.

    Raises:
        SetupError: the folder can't be written, the disk has not enough space, or `HF_HUB_OFFLINE` is set.
        UnavailableError: the server can't be reached, or a file fails its verification.
        ConflictError: the server requires an account.
        NotFoundError: the server has no such file.
    """
    staging, final = folder / STAGING_FOLDER / download.name, folder / download.name
    try:
        download_files(download.files, staging, advance)
        for file in download.files:
            if file.name in download.decompressed_hashes:
                _decompress(staging / file.name, download.decompressed_hashes[file.name])
        if not final.exists():
            staging.rename(final)
        else:
            for staged_file in staging.iterdir():
                staged_file.replace(final / staged_file.name)
            staging.rmdir()
    except OSError as error:
        raise SetupError(f"{folder} can't be written: {error.strerror}; name another with --to") from error
    gguf_names = [file.name for file in download.files if file.name.endswith(".gguf")]
    return final / gguf_names[0] if gguf_names else final


def _plan_hub_download(model: str, file: str | None) -> DownloadPlan:
    hub = os.environ.get("HF_ENDPOINT", constants.ENDPOINT).rstrip("/")
    headers = build_hf_headers()
    with download_errors(hub):
        try:
            info = HfApi(endpoint=hub).model_info(model, files_metadata=True, timeout=HTTP_TIMEOUT_S)
        except HFValidationError as error:
            raise InvalidInputError("NAME", f"must be a model of the hub: {error}") from error
        # Every file is of this commit, even if the model changes during the download.
        remote_files = {
            sibling.rfilename: RemoteFile(
                hf_hub_url(model, sibling.rfilename, revision=info.sha, endpoint=hub),
                sibling.rfilename,
                int(cast(int, sibling.size)),
                sibling.lfs.sha256 if sibling.lfs else None,
                headers,
            )
            for sibling in info.siblings or []
            if "/" not in sibling.rfilename
        }
    if file and file not in remote_files:
        raise NotFoundError(
            f"{model} has no {file}; it has {_format_names(name for name in remote_files if name.endswith('.gguf'))}"
        )
    names = [file] if file else [name for name in remote_files if _NEEDED_FILES.search(name)]
    if not file and not any(name.endswith(".safetensors") for name in names):
        raise NotFoundError(
            f"{model} has no safetensors, which vLLM reads: name a file, as {model}:{_format_names(remote_files)}"
        )
    return DownloadPlan(model.replace("/", "--"), tuple(remote_files[name] for name in names), {})


def _plan_firefox_download(source: str, target: str) -> DownloadPlan:
    records = cast(list[dict[str, Any]], fetch_json(MOZILLA_URL + MOZILLA_RECORDS_PATH)["data"])
    base = str(fetch_json(f"{MOZILLA_URL}/")["capabilities"]["attachments"]["base_url"])
    of_pair = [record for record in records if (record["sourceLanguage"], record["targetLanguage"]) == (source, target)]
    # The engine reads models of major version 3. Of several versions, the newest release is used.
    versions = {str(record["version"]) for record in of_pair if re.fullmatch(r"3\.\d+", str(record["version"]))}
    if not versions:
        pairs = {(record["sourceLanguage"], record["targetLanguage"]) for record in records}
        targets = sorted({target for source_, target in pairs if source_ == source})
        raise NotFoundError(
            f"Mozilla has no model from {source} to {target}; from {source} there are {_format_names(targets) or 'none'}"
        )
    newest = max(versions, key=lambda version: int(version.partition(".")[2]))
    # A version may have models of several architectures. The first in alphabetical order is used.
    chosen = [record for record in of_pair if record["version"] == newest]
    architecture = min(str(record.get("architecture")) for record in chosen if record["fileType"] == "model")
    chosen = [record for record in chosen if str(record.get("architecture")) == architecture]
    files: list[RemoteFile] = []
    decompressed_hashes: dict[str, str | None] = {}
    for record in chosen:
        attachment = record["attachment"]
        name = str(record["name"])
        if str(attachment["location"]).endswith(".zst"):
            name += ".zst"
            decompressed_hashes[name] = record.get("decompressedHash")
        files.append(
            RemoteFile(
                base.rstrip("/") + "/" + attachment["location"], name, int(attachment["size"]), attachment["hash"]
            )
        )
    return DownloadPlan(f"{source}-{target}", tuple(files), decompressed_hashes)


def _decompress(path: Path, sha256: str | None) -> None:
    try:
        import fxtranslate
    except ImportError as error:
        raise SetupError("decompressing these files needs the package fxtranslate: `make setup` installs it") from error
    try:
        content = fxtranslate.discovery.verify_and_decompress(path.read_bytes(), sha256)
    except ValueError as error:
        path.unlink()
        raise UnavailableError(
            f"{path.name} does not decompress to the content of its SHA-256: pull it again"
        ) from error
    path.with_suffix("").write_bytes(content)
    path.unlink()


def _models_in_folder(folder: Path, name: str) -> list[InstalledModel]:
    models = [
        InstalledModel(f"{name}:{file.name}", "gguf", file, file.stat().st_size)
        for file in sorted(folder.glob("*.gguf"))
    ]
    if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
        models.insert(0, InstalledModel(name, "hub", folder, _folder_size_bytes(folder, "*.safetensors")))
    return models


def _folder_size_bytes(folder: Path, pattern: str = "*") -> int:
    return sum(file.stat().st_size for file in folder.glob(pattern) if file.is_file())


def _format_names(names: Any) -> str:
    listed = sorted(names)
    return ", ".join(listed[:12]) + (" …" if len(listed) > 12 else "")
