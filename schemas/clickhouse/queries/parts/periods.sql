-- periods: a row for each device and period (day, week, month in the time zone tz, or the whole range) in which it reported. A leg that crosses the begin of a
-- period (or of the range) counts in both, in proportion to the time, so the days of a month add up to the month.
--   tracks   the fixes of a device, UTC day and period in order; also those up to gap_s before and behind the range, which only lend their end of a leg
--   sums     what the legs within a track come to
--   joined   with the leg from the end of the track before, and the share of that leg before the border of a period or of the range
readings AS
(
    SELECT
        device_id,
        time_ms,
        toUnixTimestamp64Milli(time_ms) AS t,
        multiIf(time_ms < {from:DateTime64(3, 'UTC')}, 0, time_ms < {to:DateTime64(3, 'UTC')}, 1, 2) AS zone,
        if({period:String} = 'total', toDate({from:DateTime64(3, 'UTC')}, {tz:String}), toDate(dateTrunc(if({period:String} = 'total', 'day', {period:String}), time_ms, {tz:String}))) AS bucket,
        counts(valid, latitude, longitude, flags) AS is_fix,
        (t, assumeNotNull(latitude), assumeNotNull(longitude), toFloat64(ifNull(speed_kmh, -1)), ifNull(toUInt8(ignition), 2)) AS fix
    FROM lodestream.positions
    WHERE (empty({devices:Array(String)}) OR device_id IN {devices:Array(String)})
        AND time_ms >= {from:DateTime64(3, 'UTC')} - toIntervalMillisecond({gap_s:Float64} * 1000)
        AND time_ms < {to:DateTime64(3, 'UTC')} + toIntervalMillisecond({gap_s:Float64} * 1000)
),
tracks AS
(
    SELECT
        device_id,
        zone,
        bucket,
        count() AS positions,
        min(t) AS first_t,
        max(t) AS last_t,
        arraySort(groupArrayIf(fix, is_fix)) AS track
    FROM readings
    GROUP BY toDate(time_ms), device_id, zone, bucket
),
sums AS
(
    SELECT
        device_id, zone, bucket, positions, first_t, last_t, fixes, head, tail, speed_max,
        arraySum((way, kind) -> if(kind = 1, way.2, 0), ways, kinds) AS moved_m,
        arraySum((way, kind) -> if(kind = 1, way.1, 0), ways, kinds) AS moving_s,
        arraySum((way, kind) -> if(kind = 0 AND way.4, way.1, 0), ways, kinds) AS idle_s,
        arraySum(way -> if(way.4, way.1, 0), ways) AS engine_s,
        arraySum((way, kind) -> if(kind = 2, way.2, 0), ways, kinds) AS gap_m
    FROM
    (
        SELECT
            *,
            arrayMap(way -> motion(way.1, way.2, way.3), ways) AS kinds
        FROM
        (
            SELECT
                device_id, zone, bucket, positions, first_t, last_t,
                length(track) AS fixes,
                track[1] AS head,
                track[-1] AS tail,
                if(empty(track), -1, arrayMax(fix -> fix.4, track)) AS speed_max,
                arrayMap(
                    (a, b) -> ((b.1 - a.1) / 1000, geoDistance(a.3, a.2, b.3, b.2), b.4, a.5 = 1 AND b.1 - a.1 <= {gap_s:Float64} * 1000),
                    arrayPopBack(track), arrayPopFront(track)) AS ways
            FROM tracks
        )
    )
),
joined AS
(
    SELECT
        * EXCEPT (former, links, seconds, metres, border),
        former.2 AS former_bucket,
        former.3 AS former_zone,
        if(kind = 1, metres, 0) AS leg_m,
        if(kind = 1, seconds, 0) AS leg_s,
        if(kind = 0 AND leg_runs, seconds, 0) AS leg_idle_s,
        if(leg_runs, seconds, 0) AS leg_engine_s,
        if(kind = 2 AND zone = 1 AND former_zone = 1, metres, 0) AS leg_gap_m,
        ifNull(greatest(0, least(1, (border - former.1.1) / nullIf(head.1 - former.1.1, 0))), 0) AS share
    FROM
    (
        SELECT
            *,
            links AND former.1.5 = 1 AND seconds <= {gap_s:Float64} AS leg_runs,
            if(links, motion(seconds, metres, head.4), -1) AS kind,
            multiIf(
                former.2 = bucket AND former.3 = zone, former.1.1,
                zone = 2, toUnixTimestamp64Milli({to:DateTime64(3, 'UTC')}),
                greatest(toInt64(toUnixTimestamp(toDateTime(bucket, {tz:String}))) * 1000, toUnixTimestamp64Milli({from:DateTime64(3, 'UTC')}))) AS border
        FROM
        (
            SELECT
                *,
                fixes > 0 AND former.1 != head AS links,
                (head.1 - former.1.1) / 1000 AS seconds,
                geoDistance(former.1.3, former.1.2, head.3, head.2) AS metres
            FROM
            (
                SELECT
                    *,
                    lagInFrame((tail, bucket, zone), 1, (head, bucket, zone))
                        OVER (PARTITION BY device_id ORDER BY fixes = 0, head ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS former
                FROM sums
            )
        )
    )
),
periods AS
(
    SELECT
        device_id,
        part.2 AS bucket,
        sum(part.3 * positions) AS positions,
        sum(part.3 * joined.fixes) AS fixes,
        minIf(joined.first_t, part.3 = 1) AS first_t,
        maxIf(joined.last_t, part.3 = 1) AS last_t,
        maxIf(joined.speed_max, part.3 = 1) AS speed_max,
        sum(part.3 * joined.moved_m + part.4 * leg_m) AS moved_m,
        sum(part.3 * joined.moving_s + part.4 * leg_s) AS moving_s,
        sum(part.3 * joined.idle_s + part.4 * leg_idle_s) AS idle_s,
        sum(part.3 * joined.engine_s + part.4 * leg_engine_s) AS engine_s,
        sum(part.3 * (joined.gap_m + leg_gap_m)) AS gap_m
    FROM
    (
        -- the row itself with the later part of its leg, and the earlier part where there is one
        SELECT *, arrayJoin(if(share > 0, [(zone, bucket, 1, 1 - share), (former_zone, former_bucket, 0, share)], [(zone, bucket, 1, 1.)])) AS part
        FROM joined
    ) AS joined
    WHERE part.1 = 1
    GROUP BY device_id, bucket
    HAVING sum(part.3) > 0
)
