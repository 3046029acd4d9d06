-- `latest` leaves out fixes that a position filter set aside and those of quarantined devices: flags FILTERED (64) and QUARANTINED (1024),
-- schemas.records.Flag. MODIFY QUERY changes the view in place, so no row of a live insert is missed.

ALTER TABLE lodestream.latest_feed MODIFY QUERY
SELECT
    device_id,
    toUInt64(toUnixTimestamp64Milli(time_ms)) * 65536 + bitAnd(frame_key, 65535) AS rank,
    protocol, time_ms, fix_offset_ms, delay_ds, latitude_e7, longitude_e7, altitude_m, speed_x10, course_x10, satellites, ignition, odometer_m,
    battery_percent_x10, battery_mv, power_mv, rssi, fuel_percent_x10, flags, moving, alarms
FROM lodestream.positions_raw
WHERE version = 0 AND valid = 1 AND latitude_e7 != 2147483647 AND longitude_e7 != 2147483647 AND delay_ds > -864000 AND bitAnd(flags, 1088) = 0;
