-- One day of events of a made fleet, twelve of each device: what six trips and their overspeeding would raise, spread over the day.
INSERT INTO events_raw (device_id, kind, time_ms, subject, version, withdrawn, delay_ds, latitude_e7, longitude_e7, replayed, attributes)
SELECT
    toString(864035000000000 + intDiv(number, 12)) AS device_id,
    ['device_moving', 'overspeed_started', 'overspeed_ended', 'device_stopped'][1 + number % 4] AS kind,
    fromUnixTimestamp64Milli({day_ms:Int64} + toInt64(21600 + number % 12 * 4000 + h % 3000) * 1000, 'UTC') AS time_ms,
    '', 0, 0, toInt64(6 + h % 25) AS delay_ds, toInt32(460000000 + h % 50000000), toInt32(50000000 + h % 70000000), 0,
    multiIf(
        kind = 'device_stopped', concat('{"distance_m":', toString(9000 + h % 40000), ',"duration_s":', toString(h % 3600), '}'),
        kind = 'device_moving', '',
        concat('{"speed_max_kmh":', toString(90 + h % 50), ',"limit_kmh":90,"limit_source":"server"}'))
FROM (SELECT number, cityHash64(number, {day_ms:Int64}) AS h FROM numbers(12 * {devices:UInt64}))
