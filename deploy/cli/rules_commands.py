"""Declarations of `lodestream devices`, `groups` and `geofences`."""

from __future__ import annotations

import sys
from typing import Any

import click

from deploy.cli.options import BOOTSTRAP, CLICKHOUSE

FILE = click.argument("file")
REPLACE = click.option("--replace", "replace_all", is_flag=True, help="Also remove what the file does not have.")
PARAMETER = click.option(
    "--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="A rule parameter (repeatable)."
)
UNSET = click.option("--unset", multiple=True, metavar="NAME", help="Drop a parameter (repeatable).")


@click.group()
def devices() -> None:
    """Names, groups, other ids and rule parameters of devices.

    A device needs none of this: it exists when it reports. Changes hold within seconds, without a restart. What can be
    set: `lodestream derive --parameters`.
    """


@devices.command("import")
@FILE
@click.option("--format", "form", default="auto", show_default=True, type=click.Choice(["auto", "csv", "json"]))
@REPLACE
@BOOTSTRAP
def devices_import(file: str, form: str, replace_all: bool, bootstrap: str) -> None:
    """Take devices from FILE (- is standard input): CSV with a header, a JSON array, or a JSON object a line.

    \b
    device_id,name,group_id,aliases,speed_limit_kmh
    356938035643809,Van 1,vans,h02:8800123456,90

    Nothing is taken when one line is wrong; every mistake is named.

    \b
    Example: lodestream devices import fleet.csv
    """
    from deploy.cli import rules

    sys.exit(rules.import_file(bootstrap, "devices", file, form, replace_all))


@devices.command("list")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "csv", "json"]))
@click.option("--group", default="", help="Only of this group.")
@click.option("--unknown", is_flag=True, help="Instead: ids that reported or were refused and are not registered.")
@BOOTSTRAP
@CLICKHOUSE
def devices_list(form: str, group: str, unknown: bool, bootstrap: str, url: str) -> None:
    """Show the registered devices.

    \b
    Example: lodestream devices list --group vans --format csv
    """
    from deploy.cli import rules

    sys.exit(rules.show_unknown(bootstrap, url) if unknown else rules.show(bootstrap, "devices", form, group))


@devices.command("set")
@click.argument("device_id")
@click.option("--name", help="Name for people.")
@click.option("--group", "group_id", help="Group; an empty text: none.")
@PARAMETER
@UNSET
@BOOTSTRAP
def devices_set(
    device_id: str, bootstrap: str, parameters: tuple[str, ...], unset: tuple[str, ...], **given: Any
) -> None:
    """Change a device, or register it.

    \b
    Example: lodestream devices set 356938035643809 --group vans --parameter speed_limit_kmh=90
    Example: lodestream devices set 356938035643809 --parameter inactive_after_s=off
    """
    from deploy.cli import rules

    sys.exit(rules.set_record(bootstrap, "devices", device_id, given, list(parameters), list(unset)))


@devices.command("alias")
@click.argument("device_id")
@click.argument("alias", metavar="PROTOCOL:ID")
@click.option("--remove", is_flag=True, help="Take the alias away.")
@BOOTSTRAP
def devices_alias(device_id: str, alias: str, remove: bool, bootstrap: str) -> None:
    """Let frames with a short id count as the device's.

    \b
    Example: lodestream devices alias 356938035643809 h02:8800123456
    """
    from deploy.cli import rules

    sys.exit(rules.set_alias(bootstrap, device_id, alias, remove))


@devices.command("delete")
@click.argument("device_ids", nargs=-1, required=True)
@BOOTSTRAP
def devices_delete(device_ids: tuple[str, ...], bootstrap: str) -> None:
    """Forget what was said of devices; their history stays.

    \b
    Example: lodestream devices delete 356938035643809
    """
    from deploy.cli import rules

    sys.exit(rules.delete(bootstrap, "devices", device_ids))


@click.group()
def groups() -> None:
    """Rule parameters that devices share: they go before the server's, and behind the device's own."""


@groups.command("import")
@FILE
@REPLACE
@BOOTSTRAP
def groups_import(file: str, replace_all: bool, bootstrap: str) -> None:
    """Take groups from FILE (- is standard input): a JSON array, or a JSON object a line.

    \b
    Example: echo '{"group_id": "vans", "parameters": {"speed_limit_kmh": 90}}' | lodestream groups import -
    """
    from deploy.cli import rules

    sys.exit(rules.import_file(bootstrap, "groups", file, "json", replace_all))


@groups.command("list")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "json"]))
@BOOTSTRAP
def groups_list(form: str, bootstrap: str) -> None:
    """Show the groups.

    \b
    Example: lodestream groups list
    """
    from deploy.cli import rules

    sys.exit(rules.show(bootstrap, "groups", form))


@groups.command("set")
@click.argument("group_id")
@click.option("--name", help="Name for people.")
@PARAMETER
@UNSET
@BOOTSTRAP
def groups_set(
    group_id: str, bootstrap: str, parameters: tuple[str, ...], unset: tuple[str, ...], **given: Any
) -> None:
    """Change a group, or make it.

    \b
    Example: lodestream groups set vans --parameter speed_limit_kmh=90 --parameter geofence_dwell_s=1800
    """
    from deploy.cli import rules

    sys.exit(rules.set_record(bootstrap, "groups", group_id, given, list(parameters), list(unset)))


@groups.command("delete")
@click.argument("group_ids", nargs=-1, required=True)
@BOOTSTRAP
def groups_delete(group_ids: tuple[str, ...], bootstrap: str) -> None:
    """Remove groups; their devices keep what they have of their own.

    \b
    Example: lodestream groups delete vans
    """
    from deploy.cli import rules

    sys.exit(rules.delete(bootstrap, "groups", group_ids))


@click.group()
def geofences() -> None:
    """Places that devices enter and leave. A new or moved one starts silently with whoever is in it."""


@geofences.command("import")
@FILE
@REPLACE
@BOOTSTRAP
def geofences_import(file: str, replace_all: bool, bootstrap: str) -> None:
    """Take geofences from FILE (- is standard input): GeoJSON, the order is longitude, latitude.

    Polygon (with holes), MultiPolygon, Point with the property radius_m, LineString with width_m. Further properties:
    name, speed_limit_kmh, dwell_s, device_ids, group_ids. The id is the feature's, else geofence_id, id or name of its
    properties. Nothing is taken when one feature is wrong; every mistake is named.

    \b
    Example: lodestream geofences import depots.geojson
    """
    from deploy.cli import rules

    sys.exit(rules.import_file(bootstrap, "geofences", file, "json", replace_all))


@geofences.command("list")
@click.option("--format", "form", default="table", show_default=True, type=click.Choice(["table", "geojson", "json"]))
@BOOTSTRAP
def geofences_list(form: str, bootstrap: str) -> None:
    """Show the geofences.

    \b
    Example: lodestream geofences list --format geojson > depots.geojson
    """
    from deploy.cli import rules

    sys.exit(rules.show(bootstrap, "geofences", form))


@geofences.command("delete")
@click.argument("geofence_ids", nargs=-1, required=True)
@BOOTSTRAP
def geofences_delete(geofence_ids: tuple[str, ...], bootstrap: str) -> None:
    """Remove geofences; no event tells of it.

    \b
    Example: lodestream geofences delete depot
    """
    from deploy.cli import rules

    sys.exit(rules.delete(bootstrap, "geofences", geofence_ids))
