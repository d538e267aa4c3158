"""The status of the Serve applications, and the error message of an application that failed to start."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ray import serve as ray_serve
from ray.serve.schema import ApplicationStatusOverview

from operators.engine_config import DEFAULT_TRANSLATION_APP
from operators.errors import SetupError

_SETUP_ERROR = re.compile(rf"{re.escape(SetupError.__module__)}\.{SetupError.__name__}: (.+)")
_FAILED_STATUSES = ("DEPLOY_FAILED", "UNHEALTHY")


@dataclass(frozen=True, slots=True)
class ApplicationStatuses:
    """The statuses of all Serve applications at one moment.

    Attributes:
        applications: Serve's overview of each application, by name.
    """

    applications: Mapping[str, ApplicationStatusOverview]

    def status_of(self, name: str) -> tuple[str, str]:
        """Return an application's status and failure reason.

        Args:
            name: the application's name.

        Returns:
            Serve's status in lower case (`running`, `deploying`, `deploy_failed`, `unhealthy`), or `missing`; then the reason of
                the
            failure, empty if the application hasn't failed.
        """
        overview = self.applications.get(name)
        if overview is None:
            return "missing", ""
        return overview.status.lower(), _failure_reason(overview) if overview.status in _FAILED_STATUSES else ""

    def is_given_up(self, name: str) -> bool:
        """Whether Serve has given up on an application: its starts failed, Serve won't try again, and no replica of it runs."""
        overview = self.applications.get(name)
        return overview is not None and overview.status == "DEPLOY_FAILED" and not self.running_replicas(name)

    def running_replicas(self, name: str) -> int:
        """Return the number of an application's running replicas."""
        overview = self.applications.get(name)
        deployments = [] if overview is None else overview.deployments.values()
        return sum(
            count
            for deployment in deployments
            for state, count in deployment.replica_states.items()
            if state == "RUNNING"
        )

    def deployed_translation_status(self) -> str:
        """Return `ok` if the translation application of `serve deploy` is running; its status otherwise."""
        state = self.status_of(DEFAULT_TRANSLATION_APP)[0]
        return "ok" if state == "running" else state


def fetch_application_statuses() -> ApplicationStatuses:
    """Fetch the statuses of all applications from Serve.

    Ray must be running in this process. Otherwise Serve would start a Ray of its own.
    """
    return ApplicationStatuses(ray_serve.status().applications)


def _failure_reason(overview: ApplicationStatusOverview) -> str:
    messages = "\n".join([overview.message, *(each.message for each in overview.deployments.values())])
    setup_errors = _SETUP_ERROR.findall(messages)
    return setup_errors[-1] if setup_errors else (overview.message.strip().splitlines() or ["it did not start"])[-1]
