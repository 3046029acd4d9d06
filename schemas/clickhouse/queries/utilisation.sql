-- utilisation: what share of each period a device was in motion, idling, with the engine on, and silent between two places
-- group: fleet
-- include: counts motion periods
-- parameters: devices from to tz period gap_s trip_m noise_m moving_kmh
-- column device_id: device
-- column period: first day of the day, week (Monday) or month, in the time zone
-- column period_s: length of the part of the period that is in the range
-- column moving_percent: share of it in motion
-- column idle_percent: share of it at rest with the engine on
-- column engine_percent: share of it with the engine on
-- column distance_m: way along the fixes while moving
-- column gap_distance_m: straight way between places over gaps in the reports; in no other column
SELECT
    device_id,
    bucket AS period,
    greatest(1, least(
        if({period:String} = 'total', toUnixTimestamp({to:DateTime64(3, 'UTC')}), toUnixTimestamp(toDateTime(
            multiIf({period:String} = 'week', addWeeks(bucket, 1), {period:String} = 'month', addMonths(bucket, 1), addDays(bucket, 1)), {tz:String}))),
        toUnixTimestamp({to:DateTime64(3, 'UTC')}))
        - greatest(toUnixTimestamp(toDateTime(bucket, {tz:String})), toUnixTimestamp({from:DateTime64(3, 'UTC')}))) AS period_s,
    round(100 * moving_s / period_s, 1) AS moving_percent,
    round(100 * idle_s / period_s, 1) AS idle_percent,
    round(100 * engine_s / period_s, 1) AS engine_percent,
    round(moved_m) AS distance_m,
    round(gap_m) AS gap_distance_m
FROM periods
ORDER BY device_id, period
