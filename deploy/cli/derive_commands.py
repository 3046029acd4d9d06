"""Declaration of `lodestream derive`."""

from __future__ import annotations

import sys

import click


@click.command()
@click.argument("file", default="-")
@click.option("--rules", "rules_file", help="JSON file with parameters, devices, groups and geofences.")
@click.option(
    "--positions", is_flag=True, help="Print the positions with what derivation says of them, not the events."
)
@click.option("--keep-going", is_flag=True, help="Name bad lines and go on; the exit code is then 1.")
@click.option("--parameters", is_flag=True, help="Print every parameter with its default, range and reason, and end.")
@click.option(
    "--format", "form", default="text", show_default=True, type=click.Choice(["text", "json"]), help="Of --parameters."
)
def derive(file: str, rules_file: str | None, positions: bool, keep_going: bool, parameters: bool, form: str) -> None:
    """Try rules on history: positions in, events out, a JSON object a line, as the live line would derive them.

    \b
    A line of FILE (- is standard input) is one of
      {"device_id": "a", "time_ms": 1768471872000, "latitude": 51.5, "longitude": -0.12, "speed_kmh": 50, ...}
          a position: the names of the view `positions`; what is missing is not told. Without received_ms it arrives
          with its own time, or with the newest time of the lines before it. "level_alarms" says which alarms the line tells
          of as states, set or not; else these are taken for states where the line has "alarms": door, low_battery,
          low_power, power_cut, power_off, fault, jamming, gps_antenna_cut, temperature, bonnet. All others are pulses.
      {"tick_ms": 1768471880000}
          the clock: silence, dwell and inactivity are told by it alone. More than 30 s between two ticks mean that the
          line was down.
      {"session": "opened" | "closed", "device_id": "a", "time_ms": 1768471872000}
    Lines of `lodestream decode` and rows of ClickHouse (FORMAT JSONEachRow) are taken as they are.

    \b
    The rules file holds what `devices`, `groups` and `geofences import` take:
      {"parameters": {"speed_limit_kmh": 90}, "groups": [{"group_id": "vans", "parameters": {}}],
       "devices": [{"device_id": "a", "group_id": "vans"}], "geofences": {"type": "FeatureCollection", ...}}

    \b
    Example: lodestream derive history.jsonl --rules rules.json | jq 'select(.kind == "device_stopped")'
    Example: lodestream decode frames.txt | lodestream derive -
    Example: lodestream derive --parameters
    """
    from deploy.cli import derive as command

    if parameters:
        command.show_parameters(form)
        sys.exit(0)
    sys.exit(command.run(file, rules_file, positions, keep_going))
