"""Models are pulled whole, lie where the engines look for them, and are found again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import models
from cluster.models import PULLING, installed, plan, pull
from operators.errors import Invalid, Unavailable, Unknown
from serve.engines.choice import model_problem
from serve.engines.engine import Utterance, whole
from serve.engines.firefox import FirefoxEngine
from serve.engines.mozilla import find_models
from tests.harness.model_host import Host, model_host

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 1000,
    "tokenizer.json": b"{}",
    "pytorch_model.bin": b"the same again",
    "README.md": b"# card",
    "LICENSE": b"Apache",
}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Host]:
    with model_host() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(models, "MOZILLA", f"{running.url}/v1")
        yield running


def quiet(_: int) -> None:
    pass


def test_a_hub_model_becomes_a_folder_that_vllm_takes(host: Host, tmp_path: Path) -> None:
    host.add_model("org/some-model", FILES)
    folder = tmp_path / "models"
    path = pull(plan("org/some-model"), folder, quiet)
    assert path == folder / "org--some-model"
    assert {file.name for file in path.iterdir()} == {"config.json", "model.safetensors", "tokenizer.json", "LICENSE"}
    assert model_problem(str(path)) is None
    found = {each.name: each for each in installed(folder)}["org/some-model"]
    assert (found.kind, found.path, found.size) == ("hub", path, 7000)


def test_what_came_in_part_is_no_model(host: Host, tmp_path: Path) -> None:
    host.add_model("org/some-model", FILES)
    whole_plan = plan("org/some-model")
    del host.pages["/org/some-model/resolve/main/tokenizer.json"]
    with pytest.raises(Unknown):
        pull(whole_plan, tmp_path, quiet)
    assert [each.name for each in tmp_path.iterdir()] == [PULLING]
    assert not any(each.path.is_relative_to(tmp_path) for each in installed(tmp_path))
    host.add_model("org/some-model", FILES)
    host.asked.clear()
    pull(whole_plan, tmp_path, quiet)
    assert "/org/some-model/resolve/main/model.safetensors" not in {path for path, _ in host.asked}


def test_one_file_of_a_hub_model_goes_beside_the_others(host: Host, tmp_path: Path) -> None:
    host.add_model("org/quants-GGUF", {"small.gguf": b"s" * 10, "large.gguf": b"l" * 20})
    for name in ("small", "large"):
        path = pull(plan(f"org/quants-GGUF:{name}.gguf"), tmp_path, quiet)
        assert path == tmp_path / "org--quants-GGUF" / f"{name}.gguf"
    names = {each.name for each in installed(tmp_path) if each.kind == "gguf"}
    assert names == {"org/quants-GGUF:small.gguf", "org/quants-GGUF:large.gguf"}
    with pytest.raises(Unknown, match=r"it has large\.gguf, small\.gguf"):
        plan("org/quants-GGUF:medium.gguf")
    with pytest.raises(Unknown, match="safetensors"):
        plan("org/quants-GGUF")


def test_a_token_opens_what_is_gated(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host.add_model("org/gated", FILES)
    host.refuses = dict.fromkeys(host.pages, "hf_secret")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert pull(plan("org/gated"), tmp_path, quiet).is_dir()


def test_a_pair_is_pulled_and_translates(host: Host, tmp_path: Path) -> None:
    packaged = find_models()["en", "pt"]
    files = {"model": packaged.model, "vocab": packaged.source_vocabulary, "lex": packaged.shortlist}
    records = [host.record(file.name, kind, file.read_bytes()) for kind, file in files.items() if file is not None]
    old = [host.record(each["name"], each["fileType"], b"old", version="2.0") for each in records]
    alpha = [host.record(each["name"], each["fileType"], b"alpha", version="3.1a1") for each in records]
    host.add_pairs(*old, *records, *alpha)
    path = pull(plan("en-pt"), tmp_path, quiet)
    assert path == tmp_path / "en-pt"
    for file in filter(None, files.values()):
        assert (path / file.name).read_bytes() == file.read_bytes()
    assert find_models(tmp_path)["en", "pt"].model.parent == path
    with pytest.raises(Unknown, match="from en there are pt"):
        plan("en-de")


async def test_the_engine_translates_with_what_was_pulled(host: Host, tmp_path: Path) -> None:
    packaged = find_models()["en", "pt"]
    host.add_pairs(
        host.record("model.enpt.intgemm.alphas.bin", "model", packaged.model.read_bytes()),
        host.record("vocab.enpt.spm", "vocab", packaged.source_vocabulary.read_bytes()),
    )
    pull(plan("en-pt"), tmp_path, quiet)
    engine = FirefoxEngine(tmp_path)
    try:
        answer = await whole(engine.generate(Utterance("Good morning.", "en", "pt")))
    finally:
        await engine.close()
    assert "dia" in answer.text


def test_a_pair_that_does_not_unpack_is_not_kept(host: Host, tmp_path: Path) -> None:
    record = host.record("model.enpt.bin", "model", b"right")
    host.add_pairs(record | {"decompressedHash": "0" * 64})
    with pytest.raises(Unavailable, match="does not unpack"):
        pull(plan("en-pt"), tmp_path, quiet)
    assert not (tmp_path / "en-pt").exists()


def test_a_proxy_that_answers_for_the_hub_is_told(host: Host) -> None:
    host.pages["/api/models/org/x/tree/main"] = b"<html>Please log in</html>"
    with pytest.raises(Unavailable, match="proxy"):
        plan("org/x")


def test_what_the_hubs_own_cache_holds_is_found(host: Host, tmp_path: Path) -> None:
    snapshot = tmp_path / "cache" / "models--org--cached" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text("{}")
    (snapshot / "model.safetensors").write_bytes(b"12345")
    assert [(each.name, each.size) for each in installed(None) if each.kind == "hub"] == [("org/cached", 5)]


@pytest.mark.parametrize("name", ["", "nothing", "a/b/c", "../x", "en_de", "http://x/y"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="NAME"):
        plan(name)
