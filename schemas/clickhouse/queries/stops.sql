-- stops: where devices stood, one row each
-- group: movement
-- include: counts fixes motion legs segments
-- parameters: devices from to gap_s stop_s trip_m noise_m moving_kmh
-- column device_id: device
-- column start_ms: when it began; a stop that began before the range begins with the first fix in it
-- column end_ms: when it ended, or the last fix in the range
-- column duration_s: how long it stood
-- column idle_s: of that with the engine on, where the device tells the ignition
-- column fixes: fixes during the stop
-- column latitude: where it came to rest, degrees
-- column longitude: where it came to rest, degrees
SELECT
    device_id,
    fromUnixTimestamp64Milli(begin, 'UTC') AS start_ms,
    fromUnixTimestamp64Milli(end, 'UTC') AS end_ms,
    round((end - begin) / 1000) AS duration_s,
    round(segments.idle_s) AS idle_s,
    segments.fixes AS fixes,
    first_place.1 AS latitude,
    first_place.2 AS longitude
FROM segments
WHERE kind = 0 AND end - begin >= {stop_s:Float64} * 1000
ORDER BY device_id, start_ms
