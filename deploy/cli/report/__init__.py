"""`lodestream report`: the queries of schemas/clickhouse/queries from a command line.

commands   one command for each query, made from its header
run        options to parameters, the query, and where its rows go
places     devices of groups, and geofences as parameters
tables     rows as a table, CSV, JSON
maps       rows as GeoJSON, GPX, KML
plots      rows as pictures
"""
