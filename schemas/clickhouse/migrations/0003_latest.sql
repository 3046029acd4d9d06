-- latest: the newest valid position of each device, kept by a materialized view because argMax over all positions costs seconds.
-- Only live rows (version 0) feed it; a replay fills a new table with a view of its own and exchanges the two. A time more than a day ahead of
-- arrival would stay the latest for ever, so it does not count. Two reports of one time: the larger frame_key, whatever the order.
-- Not here: cells, wifi, attributes, hdop, accuracy_m. They would double the cost, and positions has them.

CREATE TABLE IF NOT EXISTS lodestream.latest_raw
(
    device_id LowCardinality(String),
    rank UInt64 COMMENT 'time_ms * 65536 + the low 16 bits of frame_key; the highest counts',
    protocol LowCardinality(String),
    time_ms DateTime64(3, 'UTC'),
    fix_offset_ms Int64,
    delay_ds Int64,
    latitude_e7 Int32,
    longitude_e7 Int32,
    altitude_m Int16,
    speed_x10 UInt16,
    course_x10 UInt16,
    satellites UInt8,
    ignition UInt8,
    odometer_m UInt32,
    battery_percent_x10 UInt16,
    battery_mv UInt16,
    power_mv UInt16,
    rssi Int16,
    fuel_percent_x10 UInt16,
    flags UInt32,
    moving UInt8,
    alarms LowCardinality(String)
)
ENGINE = ReplacingMergeTree(rank)
ORDER BY device_id
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, old_parts_lifetime = 480;

CREATE MATERIALIZED VIEW IF NOT EXISTS lodestream.latest_feed TO lodestream.latest_raw AS
SELECT
    device_id,
    toUInt64(toUnixTimestamp64Milli(time_ms)) * 65536 + bitAnd(frame_key, 65535) AS rank,
    protocol, time_ms, fix_offset_ms, delay_ds, latitude_e7, longitude_e7, altitude_m, speed_x10, course_x10, satellites, ignition, odometer_m,
    battery_percent_x10, battery_mv, power_mv, rssi, fuel_percent_x10, flags, moving, alarms
FROM lodestream.positions_raw
WHERE version = 0 AND valid = 1 AND latitude_e7 != 2147483647 AND longitude_e7 != 2147483647 AND delay_ds > -864000;

CREATE VIEW IF NOT EXISTS lodestream.latest AS
SELECT
    raw.device_id AS device_id,
    raw.protocol AS protocol,
    raw.time_ms AS time_ms,
    if(raw.fix_offset_ms = 9223372036854775807, NULL, raw.time_ms + toIntervalMillisecond(raw.fix_offset_ms)) AS fix_time_ms,
    fromUnixTimestamp64Milli((intDiv(toUnixTimestamp64Milli(raw.time_ms), 100) + raw.delay_ds) * 100, 'UTC') AS received_ms,
    raw.latitude_e7 / 1e7 AS latitude,
    raw.longitude_e7 / 1e7 AS longitude,
    nullIf(raw.altitude_m, 32767) AS altitude_m,
    nullIf(raw.speed_x10, 65535) / 10 AS speed_kmh,
    nullIf(raw.course_x10, 65535) / 10 AS course_deg,
    nullIf(raw.satellites, 255) AS satellites,
    if(raw.ignition = 255, NULL, toBool(raw.ignition)) AS ignition,
    nullIf(raw.odometer_m, 4294967295) AS odometer_m,
    nullIf(raw.battery_percent_x10, 65535) / 10 AS battery_percent,
    nullIf(raw.battery_mv, 65535) / 1000 AS battery_v,
    nullIf(raw.power_mv, 65535) / 1000 AS power_v,
    nullIf(raw.rssi, 32767) AS rssi,
    nullIf(raw.fuel_percent_x10, 65535) / 10 AS fuel_percent,
    raw.flags AS flags,
    if(raw.moving = 255, NULL, toBool(raw.moving)) AS moving,
    if(raw.alarms = '', [], splitByChar(',', CAST(raw.alarms AS String))) AS alarms
FROM lodestream.latest_raw AS raw FINAL;
