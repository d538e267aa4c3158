"""Tests of the `serve deploy` config file: validated by Serve's own code, and deployed once on a Ray."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from cluster.ports import LOOPBACK, find_free_port
from operators.engine_config import DEFAULT_TRANSLATION_APP
from serve.ray_internals import RAY_ENVIRONMENT, bind_loopback, worker_setup_environment
from tests.harness.processes.parley_up import listening_addresses
from tests.harness.processes.ray_head import RayStartError, ray_folder, start_with_retries

ROOT = Path(__file__).parents[4]
BIN = Path(sys.executable).parent


@dataclass
class TokenRayHead:
    """A Ray head on loopback with token authentication."""

    port: int
    dashboard: str
    agent: str
    environment: dict[str, str] = field(repr=False)
    process: subprocess.Popen[bytes]

    def run(self, *arguments: object, token: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command of the virtual environment against this Ray."""
        environment = dict(self.environment)
        if not token:
            environment |= {"RAY_AUTH_MODE": "disabled"}
            del environment["RAY_AUTH_TOKEN"]
        command, *rest = map(str, arguments)
        return subprocess.run(
            [BIN / command, *rest], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    def applications(self) -> dict[str, Any]:
        """Return Serve's status of its applications."""
        headers = {"authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"}
        answer = httpx.get(f"{self.dashboard}/api/serve/applications/", headers=headers, timeout=30, trust_env=False)
        return answer.raise_for_status().json()["applications"]

    def wait_for_status(self, name: str, status: str) -> dict[str, Any]:
        """Wait until an application has a status."""
        until = time.monotonic() + 300
        while True:
            application = self.applications().get(name, {})
            if application.get("status") == status:
                return application
            assert time.monotonic() < until, application
            time.sleep(0.5)


@pytest.fixture(scope="module")
def head(postgres_url: str, redis_url: str) -> Iterator[TokenRayHead]:
    with ray_folder() as folder:
        yield start_with_retries(folder, lambda: _start_head(folder, postgres_url, redis_url))


def _start_head(folder: Path, postgres_url: str, redis_url: str) -> TokenRayHead:
    serve_port, gcs, dashboard, client, agent = (find_free_port() for _ in range(5))
    # Without the variables of another Ray of this test session or user.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= RAY_ENVIRONMENT | {
        "RAY_TMPDIR": str(folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        # Where `serve` and `ray job` look for it.
        "RAY_DASHBOARD_ADDRESS": f"http://{LOOPBACK}:{dashboard}",
        "RAY_API_SERVER_ADDRESS": f"http://{LOOPBACK}:{dashboard}",
        "PARLEY_POSTGRES_URL": postgres_url,
        "PARLEY_REDIS_URL": redis_url,
        # Replicas would listen on every interface, as they must in a cluster.
        **worker_setup_environment(bind_loopback),
    }
    options = {
        "node-ip-address": LOOPBACK,
        "port": gcs,
        "include-dashboard": "true",
        "dashboard-host": LOOPBACK,
        "dashboard-port": dashboard,
        "dashboard-agent-listen-port": agent,
        "ray-client-server-port": client,
        "num-cpus": 4,
        "object-store-memory": 100_000_000,
    }
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(
            [BIN / "ray", "start", "--head", "--block", *(f"--{name}={value}" for name, value in options.items())],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )
    _await_dashboard(f"http://{LOOPBACK}:{dashboard}", process, folder / "head.log")
    return TokenRayHead(
        serve_port, f"http://{LOOPBACK}:{dashboard}", f"http://{LOOPBACK}:{agent}", environment, process
    )


def _await_dashboard(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while True:
        if process.poll() is not None:
            raise RayStartError(log.read_text()[-4000:])
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        try:
            if httpx.get(f"{url}/api/version", timeout=5, trust_env=False).status_code in (200, 401):
                return
        except httpx.TransportError:
            time.sleep(0.2)


def get_when_ready(url: str) -> httpx.Response:
    """Return a successful response, retried until the server is ready: it starts beside other processes."""
    deadline = time.monotonic() + 180
    while True:
        try:
            answer = httpx.get(url, timeout=60, trust_env=False)
            if answer.is_success:
                return answer
            told = answer.text
        except httpx.TransportError as error:
            told = repr(error)
        assert time.monotonic() < deadline, told
        time.sleep(0.2)


@pytest.fixture(scope="module")
def config_file(head: TokenRayHead, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's config file with Firefox's models in place of a GPU's, and with a port of the test's own."""
    content = yaml.safe_load((ROOT / "cluster" / "deploy" / "serve.yaml").read_text())
    content["http_options"]["port"] = head.port
    [translation, _] = content["applications"]
    translation["args"] = {"engine": {"kind": "firefox"}}
    path = tmp_path_factory.mktemp("serve") / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


TRANSLATE_PROGRAM = """
import ray
from ray import serve
from operators.translation_requests import TranslationRequest

ray.init(log_to_driver=False)
request = TranslationRequest("default", "m", "s1", 1, "pt-BR", None, "The meeting starts on Monday.")
print(serve.get_app_handle("translation-default").translate.remote(request).result(timeout_s=240).text)
"""


# A head, its dashboard and Serve take half a minute on two cores, and minutes where they are shared.
@pytest.mark.timeout(600)
def test_serve_deploy_starts_both_applications_on_a_ray_with_token_auth(
    head: TokenRayHead, config_file: Path, tmp_path: Path
) -> None:
    deployed = head.run("serve", "deploy", config_file)
    assert deployed.returncode == 0, deployed.stderr
    head.wait_for_status("api", "RUNNING")
    translation = head.wait_for_status(DEFAULT_TRANSLATION_APP, "RUNNING")
    running = translation["deployments"]["TranslationService"]["deployment_config"]
    assert running["autoscaling_config"]["max_replicas"] == 4
    assert get_when_ready(f"http://{LOOPBACK}:{head.port}/health").json() == {"status": "up"}
    question = tmp_path / "ask.py"
    question.write_text(TRANSLATE_PROGRAM)
    completed = head.run("ray", "job", "submit", "--", sys.executable, question)
    assert "A reunião começa na segunda-feira." in completed.stdout, completed.stderr

    found = listening_addresses(psutil.Process(head.process.pid).children(recursive=True))
    assert found
    assert [each for each in found if each[1] not in ("127.0.0.1", "::1")] == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/jobs/"),
        ("POST", "/api/jobs/"),
        ("GET", "/api/serve/applications/"),
        ("PUT", "/api/serve/applications/"),
    ],
)
def test_jobs_and_applications_need_the_token(head: TokenRayHead, method: str, path: str) -> None:
    body = {"entrypoint": "true", "applications": []}
    bare = httpx.request(method, head.dashboard + path, json=body, timeout=30, trust_env=False)
    assert bare.status_code == 401
    wrong = {"authorization": "Bearer wrong"}
    forged = httpx.request(method, head.dashboard + path, json=body, headers=wrong, timeout=30, trust_env=False)
    assert forged.status_code == 403


@pytest.mark.timeout(600)
def test_kubernetes_probes_need_no_token(head: TokenRayHead) -> None:
    """The paths are those of the probes in cluster/deploy/kuberay.yaml."""
    with (ROOT / "cluster" / "deploy" / "kuberay.yaml").open() as file:
        [path] = set(re.findall(r"httpGet: {path: (\S+),", file.read()))
    assert get_when_ready(head.agent + path).status_code == 200


@pytest.mark.timeout(600)
def test_ray_commands_need_the_token(head: TokenRayHead) -> None:
    refused = head.run("ray", "job", "submit", "--", "true", token=False)
    assert refused.returncode != 0
    assert "authentication" in (refused.stdout + refused.stderr).lower()


@pytest.mark.timeout(600)
def test_deployment_error_names_the_invalid_argument(head: TokenRayHead, config_file: Path, tmp_path: Path) -> None:
    content = yaml.safe_load(config_file.read_text())
    content["applications"][0]["args"] = {"engine": {"kind": "magic"}}
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(content))
    assert head.run("serve", "deploy", wrong).returncode == 0
    failed = head.wait_for_status(DEFAULT_TRANSLATION_APP, "DEPLOY_FAILED")
    told = " ".join(failed["message"].split())
    assert "engine: Input tag 'magic' found using 'kind' does not match any of" in told
