"""Builds the Serve applications with their engines, and the options by which Serve runs them.

- `builders`: applications for `parley up` and the model deployer. `serve_config`: the same for `serve deploy` and KubeRay.
- `deployment`: replicas, autoscaling and health checks. `engine_factory`: an engine from its configuration.
- `preflight`: requests one token of a remote server before anything starts.

The state of running applications is in `serve.application_status`; `cluster` decides what is deployed.
"""

__all__ = [
    "builders",
    "deployment",
    "engine_factory",
    "preflight",
    "serve_config",
]
