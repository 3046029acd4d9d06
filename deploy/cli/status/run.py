"""`lodestream status`: the line at a glance, in plain words, and what to do about what is wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from deploy.cli.status import kafka, processes, store
from deploy.cli.status.judge import judge
from deploy.cli.status.model import Report
from deploy.local.counters import Window, fetch
from deploy.local.plan import METRICS_PORTS

LOCAL_URLS = {role: f"http://127.0.0.1:{port}/metrics" for role, port in METRICS_PORTS.items()}
OPTIONAL_URL = LOCAL_URLS["webhook"]
"""Looked at as well; few lines have a webhook worker, so that nothing answers there is no fault."""
WIDTH = 110


def run(bootstrap: str, url: str, metrics_urls: list[str], seconds: float, form: str) -> int:
    """Print the state; returns 1 when a part is down, else 0."""
    logging.disable(logging.CRITICAL)  # the libraries' own words for what is told here in plain ones
    report = asyncio.run(_gather(bootstrap, url, metrics_urls, seconds))
    judge(report, bootstrap, url)
    if form == "json":
        print(json.dumps(as_json(report)))
        return 1 if report.down else 0
    console = Console(width=min(Console().width, WIDTH), highlight=False)
    for section in (kafka.show(report.kafka), store.show(report.store), *processes.show(report.pages)):
        console.print(section)
        console.print()
    for problem in report.problems:
        console.print(Text(problem, "red" if report.down else "yellow"))
    if not report.problems:
        console.print(Text("All parts answer, nothing waits, nothing failed.", "green"))
    return 1 if report.down else 0


async def _gather(bootstrap: str, url: str, metrics_urls: list[str], seconds: float) -> Report:
    topics = asyncio.create_task(kafka.read(bootstrap, seconds))
    rows = asyncio.create_task(asyncio.to_thread(store.read, url))
    urls = metrics_urls or list(LOCAL_URLS.values())
    windows = await asyncio.gather(*(_window(one, seconds) for one in urls))
    pages = dict(zip(urls, windows, strict=True))
    if not metrics_urls and pages[OPTIONAL_URL] is None:
        del pages[OPTIONAL_URL]
    return Report(await topics, await rows, pages)


async def _window(url: str, seconds: float) -> Window | None:
    """Two readings of a metrics page, `seconds` apart (0: one); None when it does not answer."""
    window = Window()
    for pause_s in (0.0, seconds) if seconds else (0.0,):
        await asyncio.sleep(pause_s)
        page = await asyncio.to_thread(fetch, url)
        if page is None:
            return None
        window.add(time.monotonic(), page)
    return window


def as_json(report: Report) -> dict[str, Any]:
    """Everything, as one JSON object; of metrics pages the totals of their counters and gauges, and the counters' rates."""
    pages: dict[str, Any] = {}
    for url, window in report.pages.items():
        if window is None:
            pages[url] = None
            continue
        names = [name for name in window.page.samples if not name.endswith(("_bucket", "_created"))]
        rates = {name: round(window.rate(name), 3) for name in names if name.endswith("_total")}
        totals = {name: window.page.total(name) for name in names}
        pages[url] = {"role": processes.role_of(window.page), "totals": totals, "per_s": rates}
    told = {"down": report.down, "problems": report.problems}
    return told | {"kafka": asdict(report.kafka), "clickhouse": asdict(report.store), "processes": pages}
