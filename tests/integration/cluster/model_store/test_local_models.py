"""Models are downloaded completely, into the folders where the engines find them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from cluster.model_store import local_models
from cluster.model_store.local_models import STAGING_FOLDER, find_installed_models, plan_download, pull_model
from operators.errors import InvalidInputError, NotFoundError, UnavailableError
from serve.engines.firefox.engine import FirefoxEngine
from serve.engines.firefox.model_files import find_models
from serve.engines.protocol import Utterance, collect
from serve.engines.selection import find_model_problem
from tests.harness.doubles.model_hub_server import COMMIT, ModelHubServer, model_hub_server

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"the same again",
    "README.md": b"# card",
    "LICENSE": b"Apache",
}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModelHubServer]:
    with model_hub_server() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(local_models, "MOZILLA_URL", f"{running.url}/v1")
        yield running


def ignore_progress(_: int) -> None:
    pass


def test_a_hub_model_becomes_a_folder_for_vllm(host: ModelHubServer, tmp_path: Path) -> None:
    host.add_model("org/some-model", FILES)
    folder = tmp_path / "models"
    path = pull_model(plan_download("org/some-model"), folder, ignore_progress)
    assert path == folder / "org--some-model"
    assert {file.name for file in path.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json", "LICENSE"}
    assert find_model_problem(str(path)) is None
    found = {each.name: each for each in find_installed_models(folder)}["org/some-model"]
    assert (found.kind, found.path, found.size_bytes) == ("hub", path, 7000)


def test_a_partial_download_is_no_model(host: ModelHubServer, tmp_path: Path) -> None:
    host.add_model("org/some-model", FILES)
    whole_plan = plan_download("org/some-model")
    del host.pages[f"/org/some-model/resolve/{COMMIT}/tokenizer.json"]
    with pytest.raises(NotFoundError):
        pull_model(whole_plan, tmp_path, ignore_progress)
    assert [each.name for each in tmp_path.iterdir()] == [STAGING_FOLDER]
    assert not any(each.path.is_relative_to(tmp_path) for each in find_installed_models(tmp_path))
    host.add_model("org/some-model", FILES)
    host.requests.clear()
    pull_model(whole_plan, tmp_path, ignore_progress)
    assert f"/org/some-model/resolve/{COMMIT}/model.safetensors" not in {path for path, _ in host.requests}


def test_files_of_one_hub_model_share_a_folder(host: ModelHubServer, tmp_path: Path) -> None:
    host.add_model("org/quants-GGUF", {"small.gguf": b"s" * 10, "large.gguf": b"l" * 20})
    for name in ("small", "large"):
        path = pull_model(plan_download(f"org/quants-GGUF:{name}.gguf"), tmp_path, ignore_progress)
        assert path == tmp_path / "org--quants-GGUF" / f"{name}.gguf"
    names = {each.name for each in find_installed_models(tmp_path) if each.kind == "gguf"}
    assert names == {"org/quants-GGUF:small.gguf", "org/quants-GGUF:large.gguf"}
    with pytest.raises(NotFoundError, match=r"it has large\.gguf, small\.gguf"):
        plan_download("org/quants-GGUF:medium.gguf")
    with pytest.raises(NotFoundError, match="safetensors"):
        plan_download("org/quants-GGUF")


def test_a_token_gives_access_to_gated_models(
    host: ModelHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.add_model("org/gated", FILES)
    host.required_tokens = dict.fromkeys(host.pages, "hf_secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert pull_model(plan_download("org/gated"), tmp_path, ignore_progress).is_dir()


def test_a_firefox_pair_is_pulled(host: ModelHubServer, tmp_path: Path) -> None:
    packaged = find_models()["en", "pt"]
    files = {"model": packaged.model, "vocab": packaged.source_vocabulary, "lex": packaged.shortlist}
    records = [
        host.publish_file(file.name, kind, file.read_bytes()) for kind, file in files.items() if file is not None
    ]
    old = [host.publish_file(each["name"], each["fileType"], b"old", version="2.0") for each in records]
    alpha = [host.publish_file(each["name"], each["fileType"], b"alpha", version="3.1a1") for each in records]
    host.add_translation_models(*old, *records, *alpha)
    path = pull_model(plan_download("en-pt"), tmp_path, ignore_progress)
    assert path == tmp_path / "en-pt"
    for file in filter(None, files.values()):
        assert (path / file.name).read_bytes() == file.read_bytes()
    assert find_models(tmp_path)["en", "pt"].model.parent == path
    with pytest.raises(NotFoundError, match="from en there are pt"):
        plan_download("en-de")


async def test_the_engine_translates_with_a_pulled_model(host: ModelHubServer, tmp_path: Path) -> None:
    packaged = find_models()["en", "pt"]
    host.add_translation_models(
        host.publish_file("model.enpt.intgemm.alphas.bin", "model", packaged.model.read_bytes()),
        host.publish_file("vocab.enpt.spm", "vocab", packaged.source_vocabulary.read_bytes()),
    )
    pull_model(plan_download("en-pt"), tmp_path, ignore_progress)
    engine = FirefoxEngine(tmp_path)
    try:
        answer = await collect(engine.generate(Utterance("Good morning.", "en", "pt")))
    finally:
        await engine.close()
    assert "dia" in answer.text


def test_a_pair_that_does_not_decompress_is_discarded(host: ModelHubServer, tmp_path: Path) -> None:
    record = host.publish_file("model.enpt.bin", "model", b"right")
    host.add_translation_models(record | {"decompressedHash": "0" * 64})
    with pytest.raises(UnavailableError, match="does not decompress"):
        pull_model(plan_download("en-pt"), tmp_path, ignore_progress)
    assert not (tmp_path / "en-pt").exists()


def test_an_answer_of_a_proxy_is_reported(host: ModelHubServer) -> None:
    host.pages["/api/models/org/x"] = b"<html>Please log in</html>"
    with pytest.raises(UnavailableError, match="proxy"):
        plan_download("org/x")


def test_models_in_the_hubs_cache_are_found(host: ModelHubServer, tmp_path: Path) -> None:
    snapshot = tmp_path / "cache" / "models--org--cached" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes(b"12345")
    assert [(each.name, each.size_bytes) for each in find_installed_models(None) if each.kind == "hub"] == [
        ("org/cached", 5)
    ]


@pytest.mark.parametrize("name", ["", "nothing", "a/b/c", "../x", "en_de", "http://x/y", "a--b/c"])
def test_an_invalid_model_name_is_rejected(name: str) -> None:
    with pytest.raises(InvalidInputError, match="NAME"):
        plan_download(name)
