"""Outbound webhooks as pure data: event types, URLs, signatures by Standard Webhooks, and the retry schedule.

Endpoints and deliveries are rows of `storage.postgres`. `flows.jobs` sends the deliveries, and `serve.http` has the routes.
"""

__all__ = ["event_types", "payload", "retry_schedule", "signature", "webhook_url"]
