-- summary: distance, speeds, times in motion, idle and with the engine on, per device and period
-- group: movement
-- include: counts motion periods
-- parameters: devices from to tz period gap_s trip_m noise_m moving_kmh
-- column device_id: device
-- column period: first day of the day, week (Monday) or month, in the time zone
-- column positions: reports of any kind
-- column fixes: reports with a place that counts
-- column distance_m: way along the fixes while moving
-- column moving_s: time in motion
-- column idle_s: time at rest with the engine on, where the device tells the ignition
-- column engine_s: time with the engine on, where the device tells the ignition
-- column speed_avg_kmh: distance over the time in motion
-- column speed_max_kmh: highest speed told; empty: none was told
-- column first_ms: first report
-- column last_ms: last report
SELECT
    device_id,
    bucket AS period,
    periods.positions AS positions,
    periods.fixes AS fixes,
    round(moved_m) AS distance_m,
    round(periods.moving_s) AS moving_s,
    round(periods.idle_s) AS idle_s,
    round(periods.engine_s) AS engine_s,
    round(moved_m / nullIf(periods.moving_s, 0) * 3.6, 1) AS speed_avg_kmh,
    if(speed_max < 0, NULL, speed_max) AS speed_max_kmh,
    fromUnixTimestamp64Milli(first_t, 'UTC') AS first_ms,
    fromUnixTimestamp64Milli(last_t, 'UTC') AS last_ms
FROM periods
ORDER BY device_id, period
