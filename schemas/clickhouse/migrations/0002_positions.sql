-- positions_raw holds the columns of schemas/avro/PositionBatch.avsc as they travel: integers, with the largest value of the
-- type for "absent" (one file less a column than Nullable). Only sinks and replay read it; everyone else reads the view.
--
-- Size, measured on made-up fleet rows (tests/integration/sink_fleet.py), bytes a row:
--   arrival     as delay_ds (0.1 s, T64) 0.82; as DateTime64(1): 1.27 with Delta, 1.32 with DoubleDelta, 1.64 with T64.
--               So the delay is stored. 64 bits, because a device clock may be decades off: Int32 was no smaller (0.81).
--   offsets     0.02 together: nearly always 0 or absent.
--   frame_key   4.0: a hash does not compress, so no codec.
-- The order is day first: what is inserted now then overlaps only today's rows, so FINAL merges only today. time_ms is a key
-- column itself, so a range of it does not prune toDate(time_ms): the minmax index does that.
-- fsync: an acknowledged insert survives a power cut; without old_parts_lifetime a merge could undo that.

CREATE TABLE IF NOT EXISTS lodestream.positions_raw
(
    device_id LowCardinality(String) CODEC(ZSTD(1)),
    protocol LowCardinality(String) CODEC(ZSTD(1)),
    time_ms DateTime64(3, 'UTC') CODEC(GCD, DoubleDelta, ZSTD(1)) COMMENT 'Time of the report: key',
    frame_key UInt32 CODEC(NONE) COMMENT 'Tells reports of one device and time apart',
    version UInt32 CODEC(ZSTD(1)) COMMENT '0 live, else the number of the replay run; the highest counts',
    withdrawn UInt8 CODEC(ZSTD(1)) COMMENT '1: a replay found that there is no such position',
    fix_offset_ms Int64 CODEC(T64, ZSTD(1)) COMMENT 'Fix time - time_ms; largest: no fix',
    device_offset_ms Int64 CODEC(T64, ZSTD(1)) COMMENT 'Literal device time - time_ms; largest: no device clock',
    delay_ds Int64 CODEC(T64, ZSTD(1)) COMMENT 'Arrival - time_ms, both floored to 0.1 s, in 0.1 s',
    arrival DateTime64(1, 'UTC') ALIAS
        CAST(fromUnixTimestamp64Milli((intDiv(toUnixTimestamp64Milli(time_ms), 100) + delay_ds) * 100, 'UTC') AS DateTime64(1, 'UTC')),
    valid UInt8 CODEC(ZSTD(1)),
    latitude_e7 Int32 CODEC(Delta, T64, ZSTD(1)),
    longitude_e7 Int32 CODEC(Delta, T64, ZSTD(1)),
    altitude_m Int16 CODEC(Delta, ZSTD(1)),
    speed_x10 UInt16 CODEC(Delta, ZSTD(1)),
    course_x10 UInt16 CODEC(Delta, ZSTD(1)),
    satellites UInt8 CODEC(Delta, ZSTD(1)),
    hdop_x10 UInt8 CODEC(ZSTD(1)),
    accuracy_x10 UInt16 CODEC(ZSTD(1)),
    ignition UInt8 CODEC(ZSTD(1)),
    odometer_m UInt32 CODEC(DoubleDelta, ZSTD(1)),
    battery_percent_x10 UInt16 CODEC(ZSTD(1)),
    battery_mv UInt16 CODEC(T64, ZSTD(1)),
    power_mv UInt16 CODEC(T64, ZSTD(1)),
    rssi Int16 CODEC(Delta, ZSTD(1)),
    fuel_percent_x10 UInt16 CODEC(ZSTD(1)),
    flags UInt32 CODEC(ZSTD(1)) COMMENT 'Bits: schemas.records.Flag',
    moving UInt8 CODEC(ZSTD(1)),
    alarms LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'Names joined by commas',
    cells String CODEC(ZSTD(1)) COMMENT 'JSON array; empty: none',
    wifi String CODEC(ZSTD(1)) COMMENT 'JSON array; empty: none',
    attributes String CODEC(ZSTD(3)) COMMENT 'JSON object; empty: none',
    INDEX by_time time_ms TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version, withdrawn)
PARTITION BY toMonday(time_ms)
ORDER BY (toDate(time_ms), device_id, time_ms, frame_key)
SETTINGS index_granularity = 4096,
    fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;

CREATE VIEW IF NOT EXISTS lodestream.positions AS
SELECT
    raw.device_id AS device_id,
    raw.protocol AS protocol,
    raw.time_ms AS time_ms,
    if(raw.fix_offset_ms = 9223372036854775807, NULL, raw.time_ms + toIntervalMillisecond(raw.fix_offset_ms)) AS fix_time_ms,
    if(raw.device_offset_ms = 9223372036854775807, NULL, raw.time_ms + toIntervalMillisecond(raw.device_offset_ms)) AS device_time_ms,
    fromUnixTimestamp64Milli((intDiv(toUnixTimestamp64Milli(raw.time_ms), 100) + raw.delay_ds) * 100, 'UTC') AS received_ms,
    toBool(raw.valid) AS valid,
    nullIf(raw.latitude_e7, 2147483647) / 1e7 AS latitude,
    nullIf(raw.longitude_e7, 2147483647) / 1e7 AS longitude,
    nullIf(raw.altitude_m, 32767) AS altitude_m,
    nullIf(raw.speed_x10, 65535) / 10 AS speed_kmh,
    nullIf(raw.course_x10, 65535) / 10 AS course_deg,
    nullIf(raw.satellites, 255) AS satellites,
    nullIf(raw.hdop_x10, 255) / 10 AS hdop,
    nullIf(raw.accuracy_x10, 65535) / 10 AS accuracy_m,
    if(raw.ignition = 255, NULL, toBool(raw.ignition)) AS ignition,
    nullIf(raw.odometer_m, 4294967295) AS odometer_m,
    nullIf(raw.battery_percent_x10, 65535) / 10 AS battery_percent,
    nullIf(raw.battery_mv, 65535) / 1000 AS battery_v,
    nullIf(raw.power_mv, 65535) / 1000 AS power_v,
    nullIf(raw.rssi, 32767) AS rssi,
    nullIf(raw.fuel_percent_x10, 65535) / 10 AS fuel_percent,
    raw.flags AS flags,
    if(raw.moving = 255, NULL, toBool(raw.moving)) AS moving,
    if(raw.alarms = '', [], splitByChar(',', CAST(raw.alarms AS String))) AS alarms,
    JSONExtract(raw.cells, 'Array(Tuple(mcc Nullable(UInt16), mnc Nullable(UInt16), lac Nullable(UInt32), cid Nullable(UInt64), rssi Nullable(Int16)))') AS cells,
    JSONExtract(raw.wifi, 'Array(Tuple(mac String, rssi Nullable(Int16)))') AS wifi,
    if(raw.attributes = '', '{}', raw.attributes) AS attributes
FROM lodestream.positions_raw AS raw FINAL;
