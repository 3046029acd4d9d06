-- sessions_raw holds the columns of schemas/avro/SessionBatch.avsc; the newest row of a session counts. At one and the same millisecond the
-- later status does (opened, identified, active, closed), so that repeating an old row changes nothing.

CREATE TABLE IF NOT EXISTS lodestream.sessions_raw
(
    session_id String CODEC(ZSTD(1)),
    version UInt64 CODEC(Delta, ZSTD(1)) COMMENT 'time_ms * 4 + number of the status, from 0; the highest counts',
    gateway LowCardinality(String) CODEC(ZSTD(1)),
    status LowCardinality(String) CODEC(ZSTD(1)),
    time_ms DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'When the row was true',
    opened_ms DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'When the session began: key',
    peer String CODEC(ZSTD(1)),
    transport LowCardinality(String) CODEC(ZSTD(1)),
    protocol LowCardinality(String) CODEC(ZSTD(1)),
    device_id String CODEC(ZSTD(1)),
    frames UInt64 CODEC(T64, ZSTD(1)),
    bytes_in UInt64 CODEC(T64, ZSTD(1)),
    bytes_out UInt64 CODEC(T64, ZSTD(1)),
    replies UInt64 CODEC(T64, ZSTD(1)),
    unknown_bytes UInt64 CODEC(T64, ZSTD(1)),
    last_in String CODEC(ZSTD(1)) COMMENT 'Bytes',
    last_out String CODEC(ZSTD(1)) COMMENT 'Bytes',
    reason LowCardinality(String) CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(opened_ms)
ORDER BY (opened_ms, session_id)
SETTINGS index_granularity = 4096,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;

CREATE VIEW IF NOT EXISTS lodestream.sessions AS
SELECT
    raw.session_id AS session_id,
    raw.gateway AS gateway,
    raw.status AS status,
    raw.time_ms AS time_ms,
    raw.opened_ms AS opened_ms,
    raw.peer AS peer,
    raw.transport AS transport,
    raw.protocol AS protocol,
    raw.device_id AS device_id,
    raw.frames AS frames,
    raw.bytes_in AS bytes_in,
    raw.bytes_out AS bytes_out,
    raw.replies AS replies,
    raw.unknown_bytes AS unknown_bytes,
    raw.last_in AS last_in,
    raw.last_out AS last_out,
    raw.reason AS reason
FROM lodestream.sessions_raw AS raw FINAL;
