"""Files of devices, groups and geofences: what is taken, and how each mistake is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.rulefiles import (
    PROBLEMS_SHOWN,
    RuleFileError,
    devices_from,
    geofences_from,
    groups_from,
    parameter_value,
    rulebook_from,
)

SQUARE = [[10.0, 50.0], [10.1, 50.0], [10.1, 50.1], [10.0, 50.1], [10.0, 50.0]]


def feature(geometry: Any = None, feature_id: Any = "depot", **properties: Any) -> dict[str, Any]:
    geometry = {"type": "Polygon", "coordinates": [SQUARE]} if geometry is None else geometry
    return {"type": "Feature", "id": feature_id, "geometry": geometry, "properties": properties}


def polygon(*rings: Any) -> dict[str, Any]:
    return {"type": "Polygon", "coordinates": list(rings)}


def test_devices_as_json_lines_and_csv_are_the_same() -> None:
    array = json.dumps(
        [
            {
                "device_id": "0880123456",
                "name": "Van 1",
                "group_id": "vans",
                "aliases": ["h02:123"],
                "parameters": {"speed_limit_kmh": 90.0, "filter_static": True, "inactive_after_s": None},
            },
            {"device_id": "356938035643809"},
        ]
    )
    lines = "\n".join(json.dumps(row) for row in json.loads(array)) + "\n\n"
    table = (
        "\ufeffdevice_id,name,group_id,aliases,speed_limit_kmh,filter_static,inactive_after_s\n"
        "0880123456,Van 1,vans,h02:123,90,true,off\n356938035643809,,,,,,\n"
    )
    from_array, from_lines, from_table = devices_from(array), devices_from(lines), devices_from(table, "csv")
    assert from_array == from_lines == from_table
    assert from_array[0].parameters == {"speed_limit_kmh": 90.0, "filter_static": True, "inactive_after_s": "off"}
    assert from_array[1].parameters == {}


@pytest.mark.parametrize(
    ("text", "form", "problem"),
    [
        ('[{"device_id": 356938035643809}]', "json", "entry 1 356938035643809: device_id 356938035643809 is a number"),
        ('[{"device_id": ""}]', "json", "entry 1: device_id is missing"),
        ('[{"device_id": "a b"}]', "json", "not 1 to 64 visible ASCII characters"),
        ('[{"device_id": "a", "nmae": "x"}]', "json", "unknown key 'nmae'"),
        ('[{"device_id": "a", "parameters": {"speed": 1}}]', "json", "unknown parameter 'speed'"),
        ('[{"device_id": "a", "parameters": {"speed_limit_kmh": "fast"}}]', "json", "'fast' is not a number"),
        ('[{"device_id": "a", "aliases": ["123"]}]', "json", "alias '123' is not protocol:id"),
        ('[{"device_id": "a", "aliases": ["gt60:1"]}]', "json", "protocol 'gt60' is none of"),
        ('[{"device_id": "a"}, {"device_id": "a"}]', "json", "device_id 'a' stands 2 times"),
        (
            '[{"device_id": "a", "aliases": ["h02:1"]}, {"device_id": "b", "aliases": ["h02:1"]}]',
            "json",
            "alias 'h02:1' is claimed by a and b",
        ),
        ("[1]", "json", "entry 1: an object was expected"),
        ('{"device_id": "a"}\n{"device_id": }', "json", "line 2: not JSON"),
        ("[", "json", "not JSON"),
        ("id,name\n1,x", "csv", "line 1: no column device_id"),
        ("device_id\n3.54188E+14", "csv", "line 2 '3.54188E+14': device_id '3.54188E+14' was made a number"),
        ("device_id,speed_limit_kmh\na,fast", "csv", "line 2 'a': parameter speed_limit_kmh: 'fast' is neither"),
        ("device_id,colour\na,red", "csv", "parameter colour: 'red' is neither"),
        ("device_id\na,b", "csv", "line 2: more cells than the header"),
        ('device_id\n"a', "csv", "unexpected end of data"),
    ],
)
def test_mistakes_in_devices_are_named(text: str, form: str, problem: str) -> None:
    with pytest.raises(RuleFileError) as caught:
        devices_from(text, form)
    assert problem in str(caught.value)


def test_all_problems_are_told_together_and_bounded() -> None:
    with pytest.raises(RuleFileError) as caught:
        devices_from(json.dumps([{"device_id": f"a {n}"} for n in range(50)]))
    assert len(caught.value.problems) == 50
    assert len(str(caught.value).splitlines()) == PROBLEMS_SHOWN + 1
    assert str(caught.value).endswith("and 30 more")


def test_groups() -> None:
    (group,) = groups_from('{"group_id": "vans", "name": "Vans", "parameters": {"speed_limit_kmh": 90}}')
    assert (group.group_id, group.parameters) == ("vans", {"speed_limit_kmh": 90})
    with pytest.raises(RuleFileError, match="entry 1: group_id is missing"):
        groups_from("[{}]")


def test_geofences_in_every_wrapping() -> None:
    one = feature(speed_limit_kmh=30, dwell_s=600, name="Depot", device_ids=["a"], colour="red")
    collection = {"type": "FeatureCollection", "features": [one]}
    found = [geofences_from(json.dumps(value)) for value in (one, [one], collection)]
    assert found[0] == found[1] == found[2]
    (geofence,) = found[0]
    assert (geofence.geofence_id, geofence.name, geofence.speed_limit_kmh, geofence.dwell_s) == (
        "depot",
        "Depot",
        30,
        600,
    )
    assert json.loads(geofence.geometry)["coordinates"] == [SQUARE]


@pytest.mark.parametrize(
    ("feature_id", "properties", "expected"),
    [(7, {}, "7"), (None, {"geofence_id": "g"}, "g"), (None, {"id": "i"}, "i"), (None, {"name": "n"}, "n")],
)
def test_where_the_id_of_a_geofence_comes_from(feature_id: Any, properties: dict[str, Any], expected: str) -> None:
    (geofence,) = geofences_from(json.dumps(feature(feature_id=feature_id, **properties)))
    assert geofence.geofence_id == expected


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (feature(polygon(SQUARE[:-1])), "feature 1 'depot': ring 0 is not closed"),
        (feature(polygon(SQUARE[:3])), "ring 0: 3 positions; 4 are the least"),
        (feature(polygon([[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]])), "ring 0: Self-intersection"),
        (
            feature(polygon(SQUARE, [[20, 20], [21, 20], [21, 21], [20, 20]])),
            "ring 1: the hole is not inside of ring 0",
        ),
        (
            feature(polygon([[50.0, 100.0], *SQUARE[1:]])),
            "latitude 100 is outside -90..90; the order is longitude, latitude",
        ),
        (feature(polygon([[200.0, 10.0], *SQUARE[1:]])), "longitude 200 is outside"),
        (feature(polygon([["a", 10.0], *SQUARE[1:]])), "ring 0 position 0: 'a' is not a number"),
        (feature(polygon([[1], *SQUARE[1:]])), "ring 0 position 0: [1] is no position"),
        (feature(polygon([[1, 1], [1, 1], [1, 1], [1, 1]])), "ring 0"),
        (feature(polygon()), "has no ring"),
        (feature({"type": "Point", "coordinates": [1, 2]}), "a Point needs radius_m"),
        (feature({"type": "Point", "coordinates": [1, 2]}, radius_m=-5), "radius_m -5.0 is no length"),
        (feature({"type": "Point", "coordinates": [1, 2]}, radius_m="5"), "radius_m '5' is not a number"),
        (feature({"type": "Point", "coordinates": [1, 2]}, radius_m=9e9), "radius_m 9e+09 is above"),
        (feature({"type": "LineString", "coordinates": [[1, 2], [3, 4]]}), "a LineString needs width_m"),
        (feature({"type": "LineString", "coordinates": [[1, 2], [1, 2]]}, width_m=5), "two different positions"),
        (feature(radius_m=5), "radius_m is for a Point, not for a Polygon"),
        (feature({"type": "GeometryCollection", "geometries": []}), "type 'GeometryCollection' is none of"),
        (feature({"type": "Polygon"}), "coordinates of a Polygon are missing"),
        (feature(speed_limit_kmh=-1), "speed_limit_kmh -1.0 is not a number from 0 up"),
        (feature(feature_id=None), "feature 1: no id"),
        ({"type": "Polygon"}, 'a GeoJSON feature {"type": "Feature", …} was expected'),
        ({"type": "Feature", "id": "x"}, "feature 1 'x': geometry is missing"),
    ],
)
def test_mistakes_in_geofences_are_named(changed: dict[str, Any], problem: str) -> None:
    with pytest.raises(RuleFileError) as caught:
        geofences_from(json.dumps([changed]))
    assert problem in str(caught.value)


def test_a_rules_file_holds_all_of_it() -> None:
    book = rulebook_from(
        json.dumps(
            {
                "parameters": {"speed_limit_kmh": 130},
                "groups": [{"group_id": "vans", "parameters": {"speed_limit_kmh": 90}}],
                "devices": [{"device_id": "a", "group_id": "vans"}],
                "geofences": {"type": "FeatureCollection", "features": [feature()]},
            }
        )
    )
    rules = book.rules()
    assert (rules.parameters("a").speed_limit_kmh, rules.parameters("b").speed_limit_kmh) == (90, 130)
    assert rules.fences.containing(500_500_000, 100_500_000)[0].geofence_id == "depot"
    assert rulebook_from("{}").rules().parameters("a") == rulebook_from("{}").rules().defaults


def test_a_rules_file_tells_all_that_is_wrong() -> None:
    with pytest.raises(RuleFileError) as caught:
        rulebook_from('{"device": [], "devices": [{}], "groups": {}, "geofences": [1], "parameters": {"x": 1}}')
    problems = "\n".join(caught.value.problems)
    for told in (
        "unknown key 'device'",
        "devices: entry 1",
        "groups: an array",
        "geofences: feature 1",
        "parameters: unk",
    ):
        assert told in problems
    with pytest.raises(RuleFileError, match="an object"):
        rulebook_from("[]")


def test_parameters_as_people_write_them() -> None:
    assert parameter_value("speed_limit_kmh", "90") == 90.0
    assert parameter_value("filter_zero", "False") is False
    assert parameter_value("speed_limit_kmh", "off") == "off"
    with pytest.raises(ValueError, match="neither a number nor"):
        parameter_value("speed_limit_kmh", "true")
