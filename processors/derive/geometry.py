"""Distances on the earth, between coordinates as the columns hold them: WGS-84 degrees x 1e7."""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt

EARTH_DIAMETER_M = 2 * 6_371_008.8
"""Twice the mean radius of the WGS-84 ellipsoid; the sphere is within 0.6 % of it everywhere."""
RADIANS_PER_E7 = radians(1e-7)
HALF_RADIANS_PER_E7 = RADIANS_PER_E7 / 2


def distance_m(latitude_a_e7: int, longitude_a_e7: int, latitude_b_e7: int, longitude_b_e7: int) -> float:
    """Great-circle distance in metres (haversine): right over the antimeridian and at the poles too."""
    if latitude_a_e7 == latitude_b_e7 and longitude_a_e7 == longitude_b_e7:
        return 0.0
    north = sin((latitude_b_e7 - latitude_a_e7) * HALF_RADIANS_PER_E7)
    east = sin((longitude_b_e7 - longitude_a_e7) * HALF_RADIANS_PER_E7)
    narrowing = cos(latitude_a_e7 * RADIANS_PER_E7) * cos(latitude_b_e7 * RADIANS_PER_E7)
    return EARTH_DIAMETER_M * asin(min(1.0, sqrt(north * north + narrowing * east * east)))
