"""Pictures of reports: a route on a plain grid, speed over time with stops shaded, distances as bars, a heat map."""

from __future__ import annotations

from itertools import groupby
from math import cos, radians
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deploy.cli.report.run import Answer

PLOTS = ("route", "trips", "stops", "summary", "heatmap")
SUFFIXES = (".png", ".svg", ".pdf")
DEVICES_MAX = 10
DPI = 120


def check_plot(name: str, file: str) -> None:
    """Raises ValueError when there is no picture of that report, or none in that format."""
    if file and name not in PLOTS:
        raise ValueError(f"--plot: there is no picture of report {name}; there is of {', '.join(PLOTS)}")
    if file and Path(file).suffix.lower() not in SUFFIXES:
        raise ValueError(f"--plot {file}: the name must end in {', '.join(SUFFIXES)}")


def plot(client: Any, answer: Answer, values: dict[str, Any], file: Path) -> None:
    """Draw the picture of a report into a file. Raises ValueError when there is nothing to draw, OSError."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    if not answer.rows:
        raise ValueError("--plot: there are no rows to draw")
    figure, axes = pyplot.subplots(figsize=(11, 7), layout="constrained")
    try:
        if answer.query.name == "route":
            _route(axes, answer)
        elif answer.query.name == "heatmap":
            _heat(figure, axes, answer, float(values["cell_deg"]))
        elif answer.query.name == "summary":
            _bars(axes, answer)
        else:
            _speeds(axes, client, answer, values)
        axes.grid(alpha=0.3)
        figure.savefig(file, dpi=DPI)
    finally:
        pyplot.close(figure)


def _devices(answer: Answer) -> list[str]:
    found = list(dict.fromkeys(answer.column("device_id")))
    if len(found) > DEVICES_MAX:
        raise ValueError(f"--plot: {len(found)} devices; up to {DEVICES_MAX} can be told apart: choose with --device")
    return found


def _route(axes: Any, answer: Answer) -> None:
    _devices(answer)
    places = list(zip(answer.column("device_id"), answer.column("longitude"), answer.column("latitude"), strict=True))
    for device, rows in groupby(places, key=lambda row: row[0]):
        longitudes, latitudes = _unwrapped([row[1:] for row in rows])
        axes.plot(longitudes, latitudes, linewidth=1, marker=".", markersize=2, label=device)
        axes.plot(longitudes[0], latitudes[0], "g^", longitudes[-1], latitudes[-1], "rs")
    _flat_map(axes, answer.column("latitude"))
    axes.legend(title="begin: triangle, end: square")


def _unwrapped(places: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Longitudes that run on over the antimeridian."""
    longitudes: list[float] = []
    for longitude, _ in places:
        turns = round((longitudes[-1] - longitude) / 360) if longitudes else 0
        longitudes.append(longitude + 360 * turns)
    return longitudes, [latitude for _, latitude in places]


def _flat_map(axes: Any, latitudes: list[float]) -> None:
    middle = (min(latitudes) + max(latitudes)) / 2
    axes.set_aspect(1 / max(cos(radians(middle)), 0.05), adjustable="datalim")
    axes.set_xlabel("longitude, degrees")
    axes.set_ylabel("latitude, degrees")


def _heat(figure: Any, axes: Any, answer: Answer, cell_deg: float) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    latitudes, longitudes = answer.column("latitude"), answer.column("longitude")
    half = cell_deg / 2
    cells = PatchCollection(
        [Rectangle((x - half, y - half), cell_deg, cell_deg) for x, y in zip(longitudes, latitudes, strict=True)],
        norm=LogNorm(),
    )
    cells.set_array(answer.column("fixes"))
    axes.add_collection(cells)
    axes.autoscale_view()
    _flat_map(axes, latitudes)
    figure.colorbar(cells, label="fixes in a cell")


def _bars(axes: Any, answer: Answer) -> None:
    devices = _devices(answer)
    periods = sorted(set(answer.column("period")))
    width = 0.8 / len(devices)
    rows = list(zip(*(answer.column(n) for n in ("device_id", "period", "distance_m")), strict=True))
    for number, device in enumerate(devices):
        told = {period: metres / 1000 for name, period, metres in rows if name == device}
        axes.bar(
            [i + number * width for i in range(len(periods))], [told.get(p, 0) for p in periods], width, label=device
        )
    axes.set_xticks([i + 0.4 - width / 2 for i in range(len(periods))], [str(p) for p in periods], rotation=45)
    axes.set_ylabel("distance, km")
    axes.legend()


def _speeds(axes: Any, client: Any, answer: Answer, values: dict[str, Any]) -> None:
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    from deploy.cli.report.run import ask
    from schemas.queries import PARAMETERS, load_queries

    (device, *more) = _devices(answer)
    if more:
        raise ValueError("--plot: speed over time is drawn of one device: choose with --device")
    queries = load_queries()
    mine = values | {"devices": [device], "top": int(PARAMETERS["top"].default)}
    route = ask(client, queries["route"], mine, answer.zone)
    stops = answer if answer.query.name == "stops" else ask(client, queries["stops"], mine, answer.zone)
    rows = [row for row in zip(route.column("time_ms"), route.column("speed_kmh"), strict=True) if row[1] is not None]
    axes.plot([row[0] for row in rows], [row[1] for row in rows], linewidth=0.8)
    for number, (begin, end) in enumerate(zip(stops.column("start_ms"), stops.column("end_ms"), strict=True)):
        axes.axvspan(begin, end, alpha=0.2, color="grey", label=None if number else "stop")
    locator = AutoDateLocator(tz=answer.zone)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=answer.zone))
    axes.set_ylabel("speed, km/h")
    axes.set_xlabel(f"time, {answer.zone}")
    axes.set_title(device)
    axes.legend()
