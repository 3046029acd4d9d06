-- heatmap_h3: where the fleet is, in H3 cells, the fullest first
-- group: places
-- include: counts fixes
-- parameters: devices from to h3_resolution top
-- column h3: cell as H3 writes it
-- column latitude: middle of the cell, degrees
-- column longitude: middle of the cell, degrees
-- column fixes: fixes in it, by cells of a fine grid: exact but at the edges (H3 on every fix costs ten times as much)
-- column devices: devices in it, likewise
-- The grid is 20 times finer than the cells: an H3 edge is about 1,280 km / 2.646^resolution, and a degree 111 km.
SELECT
    h3ToString(cell) AS h3,
    h3ToGeo(cell).1 AS latitude,
    h3ToGeo(cell).2 AS longitude,
    sum(count) AS fixes,
    uniqExactMerge(devices_state) AS devices
FROM
(
    SELECT geoToH3((row + 0.5) * step, (col + 0.5) * step, {h3_resolution:UInt8}) AS cell, count, devices_state
    FROM
    (
        SELECT
            1280 / pow(2.6457513, {h3_resolution:UInt8}) / 111.2 / 20 AS step,
            toInt64(floor(lat / step)) AS row,
            toInt64(floor(lon / step)) AS col,
            count() AS count,
            uniqExactState(device_id) AS devices_state
        FROM fixes
        GROUP BY row, col
    )
)
GROUP BY cell
ORDER BY fixes DESC, h3
LIMIT {top:UInt32}
SETTINGS geotoh3_argument_order = 'lat_lon', h3togeo_lon_lat_result_order = 0
