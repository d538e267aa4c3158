"""Outbound webhooks as pure data: event types, URLs and addresses, signatures by Standard Webhooks, and the retry schedule.

Endpoints and deliveries are rows of `storage.postgres`. `flows.jobs` sends the deliveries, and `serve.http` has the routes.
"""

__all__ = ["address_check", "event_types", "payload", "retry_schedule", "signature", "webhook_url"]
