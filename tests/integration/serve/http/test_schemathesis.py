"""The API answers generated requests as its OpenAPI description says. schemathesis generates them for every route.

Some requests are allowed by the description, others are not. Some name what exists, others what doesn't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import requests
import schemathesis
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from requests.auth import AuthBase
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    not_a_server_error,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import text

from cluster.fireflies_sim.simulator import FirefliesSimulator, SimulatorOptions
from operators.engine_config import EnginesConfig
from serve.app_options import ApiOptions
from serve.http.fireflies import account_routes, client
from storage.postgres.engine_config_versions import save_settings_config
from tests.harness.api.fireflies_account import sign, store_account, store_session
from tests.harness.api.server_thread import run_api
from tests.integration.serve.http.test_dead_letter_routes import store_dead_letter
from tests.integration.serve.http.test_webhook_routes import store_disabled_webhook

if TYPE_CHECKING:
    from tests.harness.api.api_harness import ApiHarness

pytest_plugins = ["tests.harness.api.api_harness", "tests.harness.api.fireflies_account"]

Operation = APIOperation[Any, Any, Any, Any]
CONFORMANCE_CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
UNREADY_ROUTE = "GET /ready"
"""It answers 503 here, because there are no lanes and no models."""
FIREFLIES_PATH = "/api/fireflies/"
EVENT_STREAM_ROUTE = "GET /api/meetings/{meeting_id}/events"
SIGNED_ROUTE = "POST /api/fireflies/webhook"
TIMEOUT_S = 60
STORED_ROWS = (
    'insert into sentences (team_id, meeting_id, id, revision, speaker, text, start, "end", boundary, first_emitted,'
    " first_text) values ('default', :meeting, '1.0', 1, 'Ann', 'Good morning.', 0, 1, 'mark', 1, 'Good morning.')",
    "insert into captions (team_id, meeting_id, sentence_id, language, revision, status, text, engine, warnings)"
    " values ('default', :meeting, '1.0', 'pt', 1, 'translated', 'Bom dia.', 'firefox 1', '{name}')",
    "insert into source_metadata (team_id, meeting_id, source, external_id, content)"
    """ values ('default', :meeting, 'fireflies', 'past-1', '{"summary": {"overview": "A launch."}}')""",
)
"""Statements that store what lanes and imports store of a meeting."""
CHUNK = {"chunk_id": "1", "speaker": "Ann", "text": "Good morning.", "start": 0, "end": 1}


class FirefliesSignature(AuthBase):
    """Signs a request's body as Fireflies signs webhooks."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        body = request.body or b""
        request.headers["X-Hub-Signature"] = sign(body.encode() if isinstance(body, str) else body)
        return request


class RouteFuzzer:
    """Sends generated requests to the routes of an API, and checks the responses.

    Args:
        stage: the databases.
        address: the API's base URL.
        fireflies_url: address of the stand-in of Fireflies.

    Attributes:
        operations: the API's routes.
        statuses: number of responses by route and status.
    """

    def __init__(self, stage: ApiHarness, address: str, fireflies_url: str) -> None:
        self._stage, self._address, self._fireflies_url = stage, address, fireflies_url
        self._session = requests.Session()
        self._session.trust_env = False
        description = self._session.get(f"{address}/openapi.json", timeout=TIMEOUT_S).json()
        schema = schemathesis.openapi.from_dict(description)
        self.operations: list[Operation] = [operation.ok() for operation in schema.get_all_operations()]
        self.statuses: Counter[str] = Counter()

    def fuzz(self, operation: Operation, max_count: int) -> None:
        """Send requests to a route: at most `max_count`, but no two equal ones."""
        names = {parameter.name for parameter in operation.path_parameters}
        existing = {name: value for name, value in self._create_resources(operation).items() if name in names}
        strategies = [
            operation.as_strategy(path_parameters=existing),
            *operation.get_strategies_from_examples(path_parameters=existing),
        ]
        if names:
            strategies.append(operation.as_strategy())
        if names or operation.query or operation.body:
            strategies.append(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))

        # Requests change the databases, so a failure doesn't recur with a smaller request.
        @settings(
            max_examples=max_count,
            phases=[Phase.generate],
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(st.one_of(strategies))
        def send(case: Case[Any]) -> None:
            self._send(case)

        send()

    def _send(self, case: Case[Any]) -> None:
        label = case.operation.label
        # The API must connect to no address that was generated.
        if isinstance(case.body, dict) and isinstance(case.body.get("api_base_url"), str):
            case.body["api_base_url"] = self._fireflies_url
        auth = FirefliesSignature() if label == SIGNED_ROUTE else None
        response = case.call(self._address, self._session, auth=auth, timeout=TIMEOUT_S)
        # The routes that ask Fireflies answer 503 where it refuses further requests.
        is_unavailable = response.status_code == 503 and FIREFLIES_PATH in label
        may_fail = label == UNREADY_ROUTE or is_unavailable
        case.validate_response(response, checks=CONFORMANCE_CHECKS + ([] if may_fail else [not_a_server_error]))
        self.statuses[f"{label}: {response.status_code}"] += 1

    def _create_resources(self, operation: Operation) -> dict[str, Any]:
        """Create what a path may name, and return the paths' parameters."""
        stage = self._stage
        # Earlier requests may have changed what all share.
        with stage.engine.begin() as conn:
            conn.execute(text("update lanes set state = 'running' where id = 'live-1'"))
            conn.execute(text("delete from source_accounts"))
            save_settings_config(conn, EnginesConfig())
        store_account(stage.engine, self._fireflies_url)
        config = {"source_language": "en", "target_languages": ["pt"]}
        meeting = self._post("/api/meetings", json={"title": "Monday", "config": config})["id"]
        self._post(f"/api/meetings/{meeting}/events", json={"events": [{"payload": CHUNK}]})
        if operation.label == EVENT_STREAM_ROUTE:
            # The stream of a meeting that isn't over has no end.
            self._post(f"/api/meetings/{meeting}/end")
            stage.set_status(meeting, "ended")
        with stage.engine.begin() as conn:
            for statement in STORED_ROWS:
                conn.execute(text(statement), {"meeting": UUID(meeting)})
        self._session.put(f"{self._address}/api/sources/attendee", json={}, timeout=TIMEOUT_S).raise_for_status()
        return {
            "meeting_id": meeting,
            "letter_id": store_dead_letter(stage, meeting),
            "lane_id": "live-1",
            "import_id": self._post("/api/imports", data=b"Ann: Good morning.")["id"],
            "webhook_id": store_disabled_webhook(stage),
            "delivery_id": 1,
            "source": "attendee",
            "session_id": str(store_session(stage.engine, meeting)),
            "transcript_id": "past-1",
            "sentence_id": "1.0",
        }

    def _post(self, path: str, **options: Any) -> Any:
        response = self._session.post(f"{self._address}{path}", timeout=TIMEOUT_S, **options)
        assert response.ok, response.text
        return response.json()


@pytest.fixture
def fireflies_url(stage: ApiHarness, fireflies_secrets: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a stand-in of Fireflies, which the team's account has, and requests without an address."""
    with FirefliesSimulator(SimulatorOptions(past_meeting_count=1)) as simulator:
        # The API runs in a thread of this process.
        for module in (client, account_routes):
            monkeypatch.setattr(module, "DEFAULT_BASE_URL", simulator.url)
        yield simulator.url


@pytest.fixture
def fuzzer(stage: ApiHarness, postgres_url: str, redis_url: str, fireflies_url: str) -> Iterator[RouteFuzzer]:
    """Generates requests for an API that stores secrets, and that looks up no host of a webhook."""
    key = Fernet.generate_key().decode()
    options = ApiOptions(
        postgres_url, redis_url, key, heartbeat=0.3, lag_limit=1e9, max_live=10_000, private_addresses=True
    )
    with run_api(options) as address:
        yield RouteFuzzer(stage, address, fireflies_url)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_thousands_of_generated_requests_are_answered_as_described(
    fuzzer: RouteFuzzer, subtests: pytest.Subtests
) -> None:
    for operation in fuzzer.operations:
        with subtests.test(operation.label):
            fuzzer.fuzz(operation, 40)
    print(dict(sorted(fuzzer.statuses.items())))
    assert fuzzer.statuses.total() >= 2_000
