-- heatmap: where the fleet is, on a grid of degrees, the fullest cells first
-- group: places
-- include: counts fixes
-- parameters: devices from to cell_deg top
-- column latitude: middle of the cell, degrees
-- column longitude: middle of the cell, degrees
-- column fixes: fixes in it
-- column devices: devices in it
-- column speed_avg_kmh: mean of the speeds told in it
SELECT
    (row + 0.5) * {cell_deg:Float64} AS latitude,
    (col + 0.5) * {cell_deg:Float64} AS longitude,
    count() AS fixes,
    uniqExact(device_id) AS devices,
    round(avgIf(speed, speed >= 0), 1) AS speed_avg_kmh
FROM
(
    SELECT device_id, speed, toInt32(floor(lat / {cell_deg:Float64})) AS row, toInt32(floor(lon / {cell_deg:Float64})) AS col
    FROM fixes
)
GROUP BY row, col
ORDER BY fixes DESC, latitude, longitude
LIMIT {top:UInt32}
