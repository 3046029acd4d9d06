-- sink_offsets: all rows of records below `next` are in the table of the sink. Written after the block that holds them was acknowledged. The largest
-- counts, because each row stays true for ever; a worker that was frozen and wakes cannot move it back.

CREATE TABLE IF NOT EXISTS lodestream.sink_offsets
(
    sink LowCardinality(String) COMMENT 'Table that is filled, without _raw',
    topic LowCardinality(String),
    partition UInt32,
    next UInt64 COMMENT 'Offset of the first record that is not stored',
    written_ms DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = ReplacingMergeTree(next)
ORDER BY (sink, topic, partition)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;
