-- geofences: visits to a geofence: when a device was inside, and for how long
-- group: places
-- include: counts fixes
-- parameters: devices from to gap_s min_visit_s geofence
-- column device_id: device
-- column geofence: its id
-- column entered_ms: first fix inside
-- column left_ms: first fix outside again; the last one inside when none followed within gap_s
-- column dwell_s: how long it was inside
-- column fixes: fixes inside
-- column open: true: no fix outside came after it
-- A geofence is told as a box (longitudes may run on beyond 180), and as a circle (radius_m), as what is within half_m of great circles between unit
-- vectors (starts, ends; their normals; normals x starts, ends x normals), or as polygons with holes (shape). `report geofences` fills these in.
SELECT
    device_id,
    {geofence:String} AS geofence,
    fromUnixTimestamp64Milli(min(t), 'UTC') AS entered_ms,
    fromUnixTimestamp64Milli(max(until), 'UTC') AS left_ms,
    round((max(until) - min(t)) / 1000) AS dwell_s,
    count() AS fixes,
    max(is_last) AS open
FROM
(
    SELECT *, sum(enters) OVER (PARTITION BY device_id ORDER BY number) AS visit
    FROM
    (
        SELECT
            *,
            row_number() OVER (PARTITION BY device_id ORDER BY t, lat, lon) AS number,
            lagInFrame(inside, 1, 0) OVER near AS was_inside,
            lagInFrame(t, 1, t) OVER near AS t0,
            leadInFrame(t, 1, t) OVER near AS t1,
            number = count() OVER (PARTITION BY device_id) AS is_last,
            inside AND (NOT was_inside OR t - t0 > {gap_s:Float64} * 1000) AS enters,
            if(t1 - t > {gap_s:Float64} * 1000, t, t1) AS until
        FROM
        (
            SELECT
                device_id, t, lat, lon,
                lat BETWEEN {south:Float64} AND {north:Float64} AND (lon BETWEEN {west:Float64} AND {east:Float64} OR lon + 360 <= {east:Float64} OR lon - 360 >= {west:Float64})
                    AND multiIf(
                        {radius_m:Float64} > 0, greatCircleDistance(lon, lat, {longitude:Float64}, {latitude:Float64}) <= {radius_m:Float64},
                        {half_m:Float64} > 0, arrayExists((s, e, n, a, b) ->
                            if(a.1 * x + a.2 * y + a.3 * z > 0 AND b.1 * x + b.2 * y + b.3 * z > 0,
                                abs(n.1 * x + n.2 * y + n.3 * z) <= sin({half_m:Float64} / 6371008.8),
                                least(pow(s.1 - x, 2) + pow(s.2 - y, 2) + pow(s.3 - z, 2), pow(e.1 - x, 2) + pow(e.2 - y, 2) + pow(e.3 - z, 2))
                                    <= pow(2 * sin({half_m:Float64} / 2 / 6371008.8), 2)),
                            {starts:Array(Tuple(Float64, Float64, Float64))}, {ends:Array(Tuple(Float64, Float64, Float64))},
                            {normals:Array(Tuple(Float64, Float64, Float64))},
                            {after_starts:Array(Tuple(Float64, Float64, Float64))}, {before_ends:Array(Tuple(Float64, Float64, Float64))}),
                        pointInPolygon((lon, lat), {shape:Array(Array(Array(Tuple(Float64, Float64))))})) AS inside,
                cos(radians(lat)) * cos(radians(lon)) AS x,
                cos(radians(lat)) * sin(radians(lon)) AS y,
                sin(radians(lat)) AS z
            FROM fixes
        )
        WINDOW near AS (PARTITION BY device_id ORDER BY t, lat, lon ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)
    )
)
WHERE inside
GROUP BY device_id, visit
HAVING dwell_s >= {min_visit_s:Float64}
ORDER BY device_id, entered_ms
