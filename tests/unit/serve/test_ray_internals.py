"""serve/ray_internals.py: Ray has the names that Parley patches, and no other module uses Ray's private names."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import ray._common.tls_utils as tls
from ray import serve as ray_serve
from ray._common.usage import usage_constants
from ray._private import ray_constants, services
from ray._private import worker as ray_worker
from ray._private.node import Node
from ray._private.workers import default_worker
from ray.serve._private import constants as serve_constants
from ray.serve._private import replica

from serve import ray_internals
from serve.ray_internals import (
    JOB_ENVIRONMENT,
    RAY_ENVIRONMENT,
    READ_IN_VERSION,
    bind_loopback,
    extend_node_start,
    listen_on_loopback,
    skip_unused_processes,
    start_in_own_sessions,
    temp_dir_option,
    with_version,
    worker_setup_environment,
)

ROOT = Path(__file__).parents[3]
MODULES = sorted(
    path
    for package in ("operators", "storage", "flows", "serve", "cluster")
    for path in (ROOT / package).rglob("*.py")
    if path != Path(ray_internals.__file__)
)
DOCUMENTED_VARIABLES = {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"}
"""The variables of Ray that its documentation describes, and that Parley sets."""


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_internals_were_read_in_the_installed_version() -> None:
    assert ray.__version__ == READ_IN_VERSION


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", ray_constants),
        ("RAY_worker_niceness", ray_constants),
        ("RAY_ENABLE_UV_RUN_RUNTIME_ENV", ray_constants),
        ("RAY_DEDUP_LOGS", ray_constants),
        ("RAY_USAGE_STATS_ENABLED", usage_constants),
        ("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", serve_constants),
        ("RAY_OVERRIDE_JOB_RUNTIME_ENV", ray_worker),
    ],
)
def test_ray_knows_the_variable(name: str, module: Any) -> None:
    assert name in RAY_ENVIRONMENT | JOB_ENVIRONMENT
    assert f'"{name}"' in inspect.getsource(module)


def test_the_address_of_a_node_that_listens_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)
    # Other tests of this process may run Ray, whose address would be returned.
    monkeypatch.setattr(ray_worker, "_global_node", None)
    listen_on_loopback()
    assert services.get_node_ip_address() == "127.0.0.1"


def test_replicas_open_their_port_by_the_function_that_is_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (tls, replica):
        monkeypatch.setattr(module, "add_port_to_grpc_server", module.add_port_to_grpc_server)
    assert parameters(ray_internals._add_port) == ["server", "address"]
    assert 'add_port_to_grpc_server(self._server, "[::]:0")' in inspect.getsource(replica)
    bind_loopback()
    assert tls.add_port_to_grpc_server is replica.add_port_to_grpc_server is ray_internals._add_loopback_port


def test_workers_read_the_setup_function() -> None:
    [(variable, function)] = worker_setup_environment(bind_loopback).items()
    assert variable == ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR
    assert function == "serve.ray_internals.bind_loopback"
    assert "ray_constants.WORKER_PROCESS_SETUP_HOOK_ENV_VAR" in inspect.getsource(default_worker)


def test_ray_takes_the_option_of_its_folder(tmp_path: Path) -> None:
    [option] = temp_dir_option(tmp_path)
    assert f'kwargs.pop("{option}", None)' in inspect.getsource(ray_worker.init)


@pytest.mark.parametrize("log_monitor", [False, True])
def test_a_node_skips_the_processes_inside_the_block(log_monitor: bool) -> None:
    names = ["start_monitor", "start_api_server", "start_log_monitor"]
    before = [getattr(Node, name) for name in names]
    assert [parameters(method) for method in before] == [
        ["self"],
        ["self", "include_dashboard", "raise_on_failure"],
        ["self"],
    ]
    head, node = inspect.getsource(Node.start_head_processes), inspect.getsource(Node.start_ray_processes)
    assert "self.start_monitor()" in head
    assert "self.start_api_server(" in head
    assert "self.start_log_monitor()" in node
    with skip_unused_processes(log_monitor=log_monitor):
        is_skipped = [getattr(Node, name) is not method for name, method in zip(names, before, strict=True)]
    assert is_skipped == [True, True, not log_monitor]
    assert [getattr(Node, name) for name in names] == before


def test_a_node_is_awaited_by_the_function_that_is_patched() -> None:
    before = services.get_node
    assert parameters(before) == ["gcs_address", "node_id"]
    waiting = inspect.getsource(Node.__init__)
    assert "raylet_start_wait_time_s = 30" in waiting
    assert "ray._private.services.get_node(" in waiting
    assert "except RuntimeError" in waiting
    with extend_node_start(1.0):
        assert services.get_node is not before
    assert services.get_node is before


def test_processes_are_started_by_the_class_that_is_patched() -> None:
    before = services.ConsolePopen
    assert "process = ConsolePopen(" in inspect.getsource(services.start_ray_process)
    with start_in_own_sessions():
        assert services.ConsolePopen is not before
    assert services.ConsolePopen is before


def test_a_deployment_has_the_version_that_it_is_given() -> None:
    @ray_serve.deployment
    class Service:
        pass

    assert with_version(Service, "7").version == "7"
    # If the public option were back, the private one would be needless.
    with pytest.raises(ValueError, match=r"`version` in `Deployment\.options"):
        Service.options(version="7")


def test_an_application_is_deleted_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert inspect.signature(ray_serve.delete).parameters["_blocking"].default is True
    deleted: list[tuple[list[str], bool]] = []

    class Client:
        def delete_apps(self, names: list[str], blocking: bool) -> None:
            deleted.append((names, blocking))

    monkeypatch.setattr("ray.serve.api._get_global_client", Client)
    ray_internals.delete_app_in_background("translation-vllm")
    assert deleted == [(["translation-vllm"], False)]


def private_names(path: Path) -> Iterator[str]:
    """Find Ray's private modules, underscored options of calls, and variables of Ray."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names = [*modules, *(alias.name for alias in node.names)]
            if any(name.split(".")[0] == "ray" for name in names):
                yield from (name for name in names if any(part.startswith("_") for part in name.split(".")))
        elif isinstance(node, ast.Call):
            yield from (word.arg for word in node.keywords if word.arg and word.arg.startswith("_"))
        elif isinstance(node, ast.Constant) and str(node.value).startswith("RAY_"):
            yield from {str(node.value)} - DOCUMENTED_VARIABLES


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_other_modules_use_rays_public_names(path: Path) -> None:
    assert list(private_names(path)) == []


def test_private_names_are_found() -> None:
    found = set(private_names(Path(ray_internals.__file__)))
    assert {"ray._common.tls_utils", "ray._private", "_internal", "_blocking", "RAY_DEDUP_LOGS"} <= found
