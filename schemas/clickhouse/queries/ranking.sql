-- ranking: the devices of a fleet side by side over the whole range, the longest distance first
-- group: fleet
-- include: counts motion periods
-- parameters: devices from to tz gap_s trip_m noise_m moving_kmh top
-- set period: total
-- column rank: by distance
-- column device_id: device
-- column distance_m: way along the fixes while moving
-- column moving_s: time in motion
-- column idle_s: time at rest with the engine on
-- column idle_percent: idle time in percent of the time with the engine on
-- column speed_avg_kmh: distance over the time in motion
-- column speed_max_kmh: highest speed told
-- column positions: reports of any kind
-- column share_percent: of the distance of all devices asked for
SELECT
    row_number() OVER (ORDER BY moved_m DESC, device_id) AS rank,
    device_id,
    round(moved_m) AS distance_m,
    round(periods.moving_s) AS moving_s,
    round(periods.idle_s) AS idle_s,
    round(100 * periods.idle_s / nullIf(engine_s, 0), 1) AS idle_percent,
    round(moved_m / nullIf(periods.moving_s, 0) * 3.6, 1) AS speed_avg_kmh,
    if(speed_max < 0, NULL, speed_max) AS speed_max_kmh,
    periods.positions AS positions,
    round(100 * moved_m / nullIf(sum(moved_m) OVER (), 0), 2) AS share_percent
FROM periods
ORDER BY rank
LIMIT {top:UInt32}
