"""`lodestream up`: the whole line on one machine, from devices' bytes to a query, under one supervisor.

Kafka and ClickHouse start at the same time; topics follow the one, tables the other; gateway and workers follow what
they need; the simulated fleet follows the gateway. Everything is a child process of its own, so that any of them can be
killed and comes back, and one is one line in `ps`. The end goes the other way: nothing is asked of a part whose users
still run.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from deploy.local import events, logs
from deploy.local.counters import Counters, Page, fetch
from deploy.local.display import Display, make_display
from deploy.local.errors import UpError
from deploy.local.events import EventRow
from deploy.local.model import Model, Phase, Step
from deploy.local.orphans import ProcessList
from deploy.local.plan import Options, Plan, make_plan
from deploy.local.preflight import DataLock, check_ports, prepare_data
from deploy.local.supervisor import Service, stop_all
from deploy.local.webhook import WebhookWatch
from schemas.clients import clickhouse
from schemas.clients.kafka import KafkaError, KafkaUnavailable, TopicMismatch, create_topics
from schemas.topics import DEFAULT_PARTITIONS, TOPICS

__all__ = ["Options", "run"]

log = logging.getLogger(__name__)

EXIT_ERROR, EXIT_FORCED = 2, 130
ORPHANS_S = 3.0
"""Time for processes of a killed run; they have lost each other, so more would not help. Nothing is lost by killing."""
STOPS = (
    (("fleet",), 0.7),
    (("gateway",), 2.4),
    (("track",), 2.0),
    (("sink", "webhook"), 2.0),
    (("clickhouse", "kafka"), 2.3),
)
"""The parts in the order in which they stop, and the seconds for each, 9.4 together."""
_SETUP_REFRESH_S = 0.1


def run(options: Options) -> int:
    """Run until Ctrl-C or SIGTERM; returns the exit code: 0, 2 with one message when it cannot run here."""
    lock = None
    try:
        options.check()
        data = Path(options.data).absolute()
        prepare_data(data)
        lock = DataLock(data)
        processes = ProcessList(data)
        if stopped := processes.stop_orphans(ORPHANS_S):
            sys.stderr.write(f"ended {stopped} processes of a run that was killed\n")
        plan = make_plan(options, data)
        check_ports(plan.ports)
        _log_to(data / "logs" / "up.log")
        return asyncio.run(Line(plan, processes, options.plain).run())
    except UpError as error:
        sys.stderr.write(f"lodestream: {error}\n")
        return EXIT_ERROR
    except KeyboardInterrupt:  # before there was anything to stop
        return EXIT_FORCED
    finally:
        if lock is not None:
            lock.release()


def _log_to(path: Path) -> None:
    """Our own log, and what libraries say: none of it may break the screen."""
    logs.rotate(path)
    logging.basicConfig(filename=path, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiokafka").setLevel(logging.ERROR)


class Line:
    """All parts, from their start to their end."""

    def __init__(self, plan: Plan, processes: ProcessList, plain: bool) -> None:
        self._plan = plan
        folder = plan.data / "logs"
        self._services = {
            spec.name: Service(spec, folder / f"{spec.name}.log", processes, self._note) for spec in plan.specs
        }
        titles = {"topics": "Kafka topics", "tables": "ClickHouse tables"}
        order = ("kafka", "topics", "clickhouse", "tables", "gateway", "track", "sink", "webhook", "fleet")
        names = [name for name in order if name in titles or name in self._services]
        steps = {name: Step(titles.get(name) or self._services[name].spec.title) for name in names}
        self._model = Model(steps, list(self._services.values()), plan.places)
        self._display: Display = make_display(self._model, plain)
        self._counters = Counters()
        self._webhook = WebhookWatch(plan.data / "logs" / "webhook.log")
        self._stop = asyncio.Event()
        self._force = asyncio.Event()

    async def run(self) -> int:
        """Start, watch until told to stop, stop. Raises UpError when a part does not start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        self._display.open()
        try:
            await self._until_stop(self._set_up(), self._draw_set_up())
            if not self._stop.is_set():
                await self._until_stop(self._watch(), self._follow_events())
        finally:
            await self._end()
            self._display.close()
        return EXIT_FORCED if self._force.is_set() else 0

    def _on_signal(self) -> None:
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    def _note(self, text: str) -> None:
        self._display.note(text)

    async def _until_stop(self, main: object, beside: object) -> None:
        """Run two coroutines until the first one ends or a stop is asked for; raises what the first one raised."""
        assert asyncio.iscoroutine(main)
        assert asyncio.iscoroutine(beside)
        tasks = [asyncio.ensure_future(one) for one in (main, beside, self._stop.wait())]
        try:
            await asyncio.wait((tasks[0], tasks[2]), return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    # -- set-up -----------------------------------------------------------------------------------------------------

    async def _set_up(self) -> None:
        """Start each part as soon as those that it needs are there."""
        done = {name: asyncio.Event() for name in self._model.steps}
        needs = {
            "topics": ("kafka",),
            "tables": ("clickhouse",),
            "gateway": ("topics", "webhook"),  # a webhook that is new begins when it is ready
            "track": ("topics",),
            "sink": ("topics", "tables"),
            "webhook": ("topics",),
            "fleet": ("gateway",),
        }

        async def part(name: str) -> None:
            for need in needs.get(name, ()):
                if need in done:
                    await done[need].wait()
            async with self._step(name):
                await self._begin(name)
            done[name].set()

        failure: UpError | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._model.steps:
                    group.create_task(part(name))
        except* UpError as failures:
            failure = _first(failures)
        if failure is not None:  # raised inside except* it would come out as a group again, with a traceback
            raise failure
        self._model.ready_s = self._model.uptime_s
        self._display.refresh()

    async def _begin(self, name: str) -> None:
        if name == "topics":
            await self._create_topics()
        elif name == "tables":
            await self._migrate()
        else:
            self._services[name].start()
            await self._services[name].ready()

    @contextlib.asynccontextmanager
    async def _step(self, name: str) -> AsyncIterator[None]:
        step = self._model.steps[name]
        step.begin()
        try:
            yield
        except UpError:
            step.end(Phase.FAILED)
            self._display.refresh()
            raise
        step.end(Phase.DONE, step.detail if name in ("topics", "tables") else "")
        self._display.refresh()

    async def _draw_set_up(self) -> None:
        while True:
            for name, service in self._services.items():
                step = self._model.steps[name]
                if step.phase is Phase.RUNNING and name == "kafka":  # the only one that says what it does for long
                    step.detail = service.progress
            self._display.refresh()
            await asyncio.sleep(_SETUP_REFRESH_S)

    async def _create_topics(self) -> None:
        try:
            created = await create_topics(self._plan.bootstrap, DEFAULT_PARTITIONS, 1)
        except (KafkaError, KafkaUnavailable, TopicMismatch) as error:
            raise UpError(f"cannot create the Kafka topics: {error}") from error
        self._model.steps["topics"].detail = f"{len(created)} created" if created else f"{len(TOPICS)} were there"

    async def _migrate(self) -> None:
        def work() -> list[str]:
            return clickhouse.migrate(clickhouse.connect(self._plan.clickhouse_url))

        try:
            applied = await asyncio.to_thread(work)
        except clickhouse.MigrationError as error:
            raise UpError(f"cannot create the ClickHouse tables: {error}") from error
        except Exception as error:
            log.exception("migrations failed")
            raise UpError(f"cannot create the ClickHouse tables: {type(error).__name__}: {error}") from error
        self._model.steps["tables"].detail = f"{len(applied)} migrations" if applied else "up to date"

    # -- while it runs ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            pages: Sequence[Page | None] = await asyncio.gather(
                *(asyncio.to_thread(fetch, url) for url in self._plan.metrics_urls.values())
            )
            by_role = dict(zip(self._plan.metrics_urls, pages, strict=True))
            self._model.figures = self._counters.add(time.monotonic(), by_role)
            for sentence in self._webhook.sentences(by_role.get("webhook")):
                self._note(sentence)
            self._display.refresh()
            await asyncio.sleep(self._display.interval_s)

    async def _follow_events(self) -> None:
        def show(rows: list[EventRow], new: bool) -> None:
            self._model.events.extend(rows)
            self._display.show_events(rows, new)

        try:
            await events.follow(self._plan.bootstrap, show)
        except Exception:  # only the display lacks them then
            log.exception("cannot follow the events")
            self._note(f"the latest events are not shown any more; see {self._plan.data / 'logs' / 'up.log'}")

    # -- the end ----------------------------------------------------------------------------------------------------

    async def _end(self) -> None:
        self._stop.set()  # a signal from now on means: at once
        began = time.monotonic()
        self._note("stopping (Ctrl-C again: at once)")
        services = self._services
        stages = [([services[name] for name in names if name in services], seconds) for names, seconds in STOPS]
        killed = await stop_all(stages, self._force)
        for service in killed:
            self._note(f"{service.spec.title} was killed; nothing is lost")
        self._note(f"stopped in {time.monotonic() - began:.1f} s; the data stays in {self._plan.data}")


def _first(failures: BaseExceptionGroup[UpError]) -> UpError:
    error = failures.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
