"""How Serve's applications stand, in its word for each, and in our own error's words where one did not start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ray import serve as ray_serve
from ray.serve.schema import ApplicationStatusOverview

from operators.errors import SetupFailed
from operators.models import TRANSLATION_APP

_OURS = re.compile(rf"{re.escape(SetupFailed.__module__)}\.{SetupFailed.__name__}: (.+)")
_WRONG = ("DEPLOY_FAILED", "UNHEALTHY")


@dataclass(frozen=True, slots=True)
class Standing:
    """The applications at one moment, by their names."""

    applications: Mapping[str, ApplicationStatusOverview]

    def of(self, name: str) -> tuple[str, str]:
        """Serve's word for an application (`running`, `deploying`, `deploy_failed`, `unhealthy`), or `missing`; and what keeps
        it from running, where something does."""
        found = self.applications.get(name)
        if found is None:
            return "missing", ""
        return found.status.lower(), _why(found) if found.status in _WRONG else ""

    def gave_up(self, name: str) -> bool:
        """Whether Serve gave an application up: it failed to start several times, is not tried again, and nothing of it runs."""
        found = self.applications.get(name)
        return found is not None and found.status == "DEPLOY_FAILED" and not self.replicas(name)

    def replicas(self, name: str) -> int:
        """The replicas of an application that run."""
        found = self.applications.get(name)
        deployments = [] if found is None else found.deployments.values()
        return sum(count for each in deployments for state, count in each.replica_states.items() if state == "RUNNING")

    def of_deployed(self) -> str:
        """`ok` where the application that `serve deploy` gives translates; else what is wrong with it."""
        state = self.of(TRANSLATION_APP)[0]
        return "ok" if state == "running" else state


def standing() -> Standing:
    """How the applications stand. Ray must be running in this process: Serve would start one of its own."""
    return Standing(ray_serve.status().applications)


def _why(found: ApplicationStatusOverview) -> str:
    told = "\n".join([found.message, *(each.message for each in found.deployments.values())])
    ours = _OURS.findall(told)
    return ours[-1] if ours else (found.message.strip().splitlines() or ["it did not start"])[-1]
