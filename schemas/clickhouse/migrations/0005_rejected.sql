-- rejected_raw holds the columns of schemas/avro/RejectedBatch.avsc, plus the rows that ClickHouse itself refused (reason sink; the payload is
-- then the row as JSON). Identity is arrival, place in `frames` and a hash of the bytes, so repeats collapse, and a replay that finds
-- another reason (or none: withdrawn) replaces the row.

CREATE TABLE IF NOT EXISTS lodestream.rejected_raw
(
    received_ms DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)) COMMENT 'Arrival at the gateway: key',
    frame_partition Int32 CODEC(ZSTD(1)) COMMENT 'Partition of its record in frames',
    frame_offset Int64 CODEC(Delta, ZSTD(1)) COMMENT 'Offset of its record in frames',
    frame_index UInt16 CODEC(ZSTD(1)) COMMENT 'Row in that record',
    payload_hash UInt64 MATERIALIZED cityHash64(payload) CODEC(NONE),
    version UInt32 CODEC(ZSTD(1)) COMMENT '0 live, else the number of the replay run; the highest counts',
    withdrawn UInt8 CODEC(ZSTD(1)) COMMENT '1: a replay decoded it',
    arrival DateTime64(1, 'UTC') ALIAS
        CAST(fromUnixTimestamp64Milli(intDiv(toUnixTimestamp64Milli(received_ms), 100) * 100, 'UTC') AS DateTime64(1, 'UTC')),
    reason LowCardinality(String) CODEC(ZSTD(1)),
    detail String CODEC(ZSTD(3)),
    protocol LowCardinality(String) CODEC(ZSTD(1)),
    device_id LowCardinality(String) CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    peer String CODEC(ZSTD(1)),
    payload String CODEC(ZSTD(3)) COMMENT 'The bytes'
)
ENGINE = ReplacingMergeTree(version, withdrawn)
PARTITION BY toYYYYMM(received_ms)
ORDER BY (received_ms, frame_partition, frame_offset, frame_index, payload_hash)
SETTINGS index_granularity = 4096,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;

CREATE VIEW IF NOT EXISTS lodestream.rejected AS
SELECT
    raw.reason AS reason,
    raw.detail AS detail,
    raw.protocol AS protocol,
    raw.device_id AS device_id,
    raw.received_ms AS received_ms,
    raw.session_id AS session_id,
    raw.peer AS peer,
    raw.frame_partition AS frame_partition,
    raw.frame_offset AS frame_offset,
    raw.frame_index AS frame_index,
    raw.payload AS payload
FROM lodestream.rejected_raw AS raw FINAL;
