"""Tests of the embedding application on a real Ray, called by its client."""

from __future__ import annotations

import math

import pytest
from ray import serve as ray_serve

from flows import serve_application
from flows.insight import EmbeddingClient
from operators.embeddings import EmbeddingRequest
from operators.engine_config import E5Config
from operators.errors import DeferredError, UnavailableError
from serve.deploy.builders import build_embedding
from serve.ray_internals import delete_app_in_background

pytest_plugins = ["tests.harness.processes.ray_cluster"]

APP, MISSING = "embedding-e5", "embedding-missing"
REQUEST = EmbeddingRequest(("The report is ready.", "Der Bericht ist fertig.", "Bom dia."), "passage")


@pytest.mark.usefixtures("ray_cluster")
async def test_the_first_request_starts_the_local_model(monkeypatch: pytest.MonkeyPatch) -> None:
    # A slow controller must not count as unavailable.
    monkeypatch.setattr(serve_application, "LOOKUP_TIMEOUT_S", 60.0)
    ray_serve.run(build_embedding(E5Config(cpus=0.1)), name=APP, route_prefix=None)
    deployment = ray_serve.status().applications[APP].deployments["EmbeddingService"]
    assert sum(deployment.replica_states.values()) == 0
    embeddings = await EmbeddingClient(lambda: (MISSING, APP)).embed(REQUEST)
    assert embeddings.model.startswith("e5 multilingual-e5-small")
    report, bericht, greeting = embeddings.vectors
    assert math.hypot(*report) == pytest.approx(1.0)
    assert sum(map(float.__mul__, report, bericht)) > sum(map(float.__mul__, report, greeting))
    assert await ray_serve.get_app_handle(APP).problem.remote() == ""
    with pytest.raises(UnavailableError):
        await EmbeddingClient(lambda: (MISSING,)).embed(REQUEST)
    nothing = EmbeddingClient(lambda: ())
    assert not nothing.is_configured()
    with pytest.raises(DeferredError, match="no engine serves embeddings"):
        await nothing.embed(REQUEST)
    delete_app_in_background(APP)
