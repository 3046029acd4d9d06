-- counts: what a fix is in the reports: valid, with a place, neither at 0, 0 nor set aside by a filter nor of a quarantined device (flags 32, 64, 1024:
-- schemas.records.Flag).
(is_valid, north, east, bits) -> is_valid AND isNotNull(north) AND isNotNull(east) AND bitAnd(bits, 1120) = 0 AS counts
