"""Ray Serve applications: translation, insight, embedding and the HTTP API.

- `serve.text`: languages and writing systems. `serve.engines`: answer prompts, translate or embed texts.
- `serve.translation`, `serve.insight`, `serve.embedding`: the three services. `serve.http`: the API; `serve.dashboard`: its page.
- `serve.deploy`: builds the applications and the engines in them. `serve.ray_internals`: the private names of Ray in use.

Requests are in `operators`; lanes call the services by `flows.translation`; `cluster` deploys what `serve.deploy` builds.
Every Ray worker imports this package, so it imports nothing by itself.
"""

__all__ = [
    "app_options",
    "application_status",
    "deploy",
    "embedding",
    "engines",
    "http",
    "insight",
    "ray_internals",
    "text",
    "translation",
]
