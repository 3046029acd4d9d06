-- events_raw holds the columns of schemas/avro/EventBatch.avsc. (device_id, kind, time_ms, subject) identify an event, so an event
-- that is derived again is the same row.

CREATE TABLE IF NOT EXISTS lodestream.events_raw
(
    device_id LowCardinality(String) CODEC(ZSTD(1)),
    kind LowCardinality(String) CODEC(ZSTD(1)),
    time_ms DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'When it happened: key',
    subject LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'The alarm, the geofence; else empty',
    version UInt32 CODEC(ZSTD(1)) COMMENT '0 live, else the number of the replay run; the highest counts',
    withdrawn UInt8 CODEC(ZSTD(1)) COMMENT '1: a replay found that there is no such event',
    delay_ds Int64 CODEC(T64, ZSTD(1)) COMMENT 'Arrival - time_ms, both floored to 0.1 s, in 0.1 s',
    arrival DateTime64(1, 'UTC') ALIAS
        CAST(fromUnixTimestamp64Milli((intDiv(toUnixTimestamp64Milli(time_ms), 100) + delay_ds) * 100, 'UTC') AS DateTime64(1, 'UTC')),
    latitude_e7 Int32 CODEC(ZSTD(1)),
    longitude_e7 Int32 CODEC(ZSTD(1)),
    replayed UInt8 CODEC(ZSTD(1)),
    attributes String CODEC(ZSTD(3)) COMMENT 'JSON object; empty: none',
    INDEX by_time time_ms TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version, withdrawn)
PARTITION BY toYYYYMM(time_ms)
ORDER BY (toDate(time_ms), device_id, time_ms, kind, subject)
SETTINGS index_granularity = 4096,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;

CREATE VIEW IF NOT EXISTS lodestream.events AS
SELECT
    raw.device_id AS device_id,
    raw.kind AS kind,
    raw.time_ms AS time_ms,
    raw.subject AS subject,
    fromUnixTimestamp64Milli((intDiv(toUnixTimestamp64Milli(raw.time_ms), 100) + raw.delay_ds) * 100, 'UTC') AS received_ms,
    nullIf(raw.latitude_e7, 2147483647) / 1e7 AS latitude,
    nullIf(raw.longitude_e7, 2147483647) / 1e7 AS longitude,
    toBool(raw.replayed) AS replayed,
    if(raw.attributes = '', '{}', raw.attributes) AS attributes
FROM lodestream.events_raw AS raw FINAL;
