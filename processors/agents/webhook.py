"""The webhook agent: records of `events` to the endpoint, each acked when its events are delivered."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

from processors.settings import WorkerSettings
from processors.sinks.webhook import Filter, Webhook, WebhookMetrics
from schemas import codec
from schemas.clients.settings import SettingsError
from schemas.records import EventBatch
from schemas.topics import EVENTS

log = logging.getLogger(__name__)

EXIT_BUG = 70


def webhook_of(settings: WorkerSettings, metrics: WebhookMetrics) -> Webhook:
    """The endpoint of the settings. Raises SettingsError that names what is wrong."""
    if not settings.webhook_url.startswith(("http://", "https://")):
        raise SettingsError("WORKER_WEBHOOK_URL is no http:// or https:// address")
    try:
        wanted = Filter.from_text(settings.webhook_kinds, settings.webhook_devices)
    except ValueError as error:
        raise SettingsError(f"WORKER_WEBHOOK_KINDS: {error}") from None
    return Webhook(
        settings.webhook_url,
        settings.webhook_secret,
        wanted,
        settings.webhook_timeout_s,
        settings.webhook_batch,
        settings.webhook_retry_max_s,
        metrics,
    )


def register_webhook(app: Any, webhook: Webhook) -> None:
    """Declare the agent on a Faust app: partitions side by side, the records of one in order."""
    topic = app.topic(EVENTS, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic, isolated_partitions=True, name="webhook")  # type: ignore[untyped-decorator]
    async def deliver(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await webhook.deliver(codec.decode(event.value, EventBatch))
                event.ack()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("webhook agent failed")
                logging.shutdown()
                os._exit(EXIT_BUG)
