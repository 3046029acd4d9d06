"""The Faust app of a worker: settings that were measured, and no module-level state."""

from __future__ import annotations

import tempfile
from typing import Any

import faust

from processors.agents.rewind import RewindingConsumer
from processors.settings import WorkerSettings

MEBIBYTE = 1024 * 1024
NEVER_S = 1e9
BUFFER_RECORDS = 64
"""Records of a partition that wait in memory. From four fifths of it on, Faust fetches none of that partition."""
POLL_RECORDS = 200
PATIENT_POLL_RECORDS = BUFFER_RECORDS - BUFFER_RECORDS * 4 // 5 - 1
"""Where one partition may wait for long (webhook). What a poll has brought is still buffered, and one loop feeds all
partitions: a poll of more records than fit above the four fifths would hold up every partition with the one that waits."""


def build_app(settings: WorkerSettings) -> Any:
    """A Faust app for one role. Faust consumes, groups and commits; producing is ours (schemas.clients.producer)."""
    app = faust.App(
        f"{settings.group}-{settings.role}",
        broker=[f"kafka://{address.strip()}" for address in settings.kafka_bootstrap.split(",")],
        autodiscover=False,
        web_enabled=False,
        datadir=tempfile.gettempdir(),
        store="memory://",
        topic_allow_declare=False,
        topic_disable_leader=True,
        # Selects Faust's sticky, co-partitioning assignor, also without tables.
        table_standby_replicas=1,
        broker_session_timeout=settings.session_timeout_s,
        broker_heartbeat_interval=2.0,
        broker_commit_interval=1.0,
        broker_request_timeout=30.0,
        broker_max_poll_records=PATIENT_POLL_RECORDS if settings.role == "webhook" else POLL_RECORDS,
        # While what a sink writes to is away, nothing is fetched once all buffers are full. aiokafka would take that for
        # a dead consumer after this time and leave the group, and then neither side goes on: heartbeats tell who lives.
        broker_max_poll_interval=NEVER_S,
        stream_processing_timeout=NEVER_S,  # else it is told as an error, again and again
        # A restart with the same id takes its partitions back at once instead of after the session timeout.
        consumer_group_instance_id=f"{settings.group}-{settings.role}-{settings.id}",
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=4 * MEBIBYTE,
        stream_buffer_maxsize=BUFFER_RECORDS,
        stream_wait_empty=False,
        producer_request_timeout=30.0,
        worker_redirect_stdouts=False,
    )
    app.transport.Consumer = RewindingConsumer
    return app
