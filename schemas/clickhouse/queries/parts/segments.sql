-- segments: legs put together to what people mean. kind: 1 trip, 0 stop, 2 gap; in time order they cover everything between the first and the last fix.
--   spans     legs of one kind in a row
--   pieces    a still span of stop_s or longer, a gap, or all that lies between two such; what moved less than trip_m was no trip
--   segments  neighbours of one kind are one
spans AS
(
    SELECT
        device_id,
        span,
        kind,
        min(t0) AS begin,
        max(t) AS end,
        sumIf(metres, kind = 1) AS moved_m,
        sumIf(seconds, kind = 1) AS moving_s,
        sumIf(seconds, kind = 0 AND engine0 = 1 AND seconds <= {gap_s:Float64}) AS idle_s,
        max(speed) AS speed_max,
        count() AS fixes,
        argMin((lat0, lon0), number) AS first_place,
        argMax((lat, lon), number) AS last_place
    FROM
    (
        SELECT *, sum(begins) OVER (PARTITION BY device_id ORDER BY number) AS span
        FROM
        (
            SELECT *, kind != lagInFrame(kind, 1, kind) OVER (PARTITION BY device_id ORDER BY number ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS begins
            FROM legs
        )
    )
    GROUP BY device_id, span, kind
),
pieces AS
(
    SELECT
        device_id,
        piece,
        min(begin) AS begin,
        max(end) AS end,
        sum(moved_m) AS moved_m,
        sum(moving_s) AS moving_s,
        sum(idle_s) AS idle_s,
        max(speed_max) AS speed_max,
        sum(fixes) AS fixes,
        argMin(first_place, span) AS first_place,
        argMax(last_place, span) AS last_place,
        multiIf(max(span_kind) = 2, 2, max(ends), 0, moved_m >= {trip_m:Float64}, 1, 0) AS kind
    FROM
    (
        SELECT *, sum(ends OR ended) OVER (PARTITION BY device_id ORDER BY span) AS piece
        FROM
        (
            SELECT
                *,
                kind AS span_kind,
                kind = 2 OR (kind = 0 AND end - begin >= {stop_s:Float64} * 1000) AS ends,
                lagInFrame(ends, 1, 0) OVER (PARTITION BY device_id ORDER BY span ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS ended
            FROM spans
        )
    )
    GROUP BY device_id, piece
),
segments AS
(
    SELECT
        device_id,
        segment,
        kind,
        min(begin) AS begin,
        max(end) AS end,
        sum(moved_m) AS moved_m,
        sum(moving_s) AS moving_s,
        sum(idle_s) AS idle_s,
        max(speed_max) AS speed_max,
        sum(fixes) AS fixes,
        argMin(first_place, piece) AS first_place,
        argMax(last_place, piece) AS last_place
    FROM
    (
        SELECT *, sum(begins) OVER (PARTITION BY device_id ORDER BY piece) AS segment
        FROM
        (
            SELECT *, kind != lagInFrame(kind, 1, kind) OVER (PARTITION BY device_id ORDER BY piece ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS begins
            FROM pieces
        )
    )
    GROUP BY device_id, segment, kind
)
