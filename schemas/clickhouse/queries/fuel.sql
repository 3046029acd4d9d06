-- fuel: level at begin and end, filled, drained at once and used, per device and period, where the device tells the level
-- group: fleet
-- parameters: devices from to tz period fuel_step_percent
-- column device_id: device
-- column period: first day of the day, week (Monday) or month, in the time zone
-- column readings: reports with a level
-- column start_percent: level at the begin: the median of its first ten minutes with a level
-- column end_percent: level at the end, likewise
-- column filled_percent: sum of the rises of fuel_step_percent or more between neighbouring medians
-- column dropped_percent: sum of the falls of as much: drained, or used during a long gap
-- column used_percent: start + filled - end
SELECT
    device_id,
    period,
    sum(readings) AS readings,
    round(argMin(level, slot), 1) AS start_percent,
    round(argMax(level, slot), 1) AS end_percent,
    round(sumIf(step, step >= {fuel_step_percent:Float64}), 1) AS filled_percent,
    round(-sumIf(step, step <= -{fuel_step_percent:Float64}), 1) AS dropped_percent,
    round(argMin(level, slot) + sumIf(step, step >= {fuel_step_percent:Float64}) - argMax(level, slot), 1) AS used_percent
FROM
(
    SELECT
        *,
        level - lagInFrame(level, 1, level) OVER (PARTITION BY device_id, period ORDER BY slot ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS step
    FROM
    (
        SELECT
            device_id,
            toDate(if({period:String} = 'total', dateTrunc('day', {from:DateTime64(3, 'UTC')}, {tz:String}),
                dateTrunc(if({period:String} = 'total', 'day', {period:String}), time_ms, {tz:String}))) AS period,
            intDiv(toUnixTimestamp(time_ms), 600) AS slot,
            medianExact(assumeNotNull(fuel_percent)) AS level,
            count() AS readings
        FROM lodestream.positions
        WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
            AND time_ms >= {from:DateTime64(3, 'UTC')} AND time_ms < {to:DateTime64(3, 'UTC')}
            AND isNotNull(fuel_percent)
        GROUP BY device_id, period, slot
    )
)
GROUP BY device_id, period
ORDER BY device_id, period
