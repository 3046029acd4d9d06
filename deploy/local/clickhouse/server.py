"""The ClickHouse HTTP interface as an aiohttp application: HTTP in, HTTP out.

The event loop never waits for the engine: every call runs in a worker thread. Inserts have threads of their own, so
that selects, however many and long, cannot hold them up.
"""

import asyncio
import logging
import secrets
import string
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from aiohttp import web

from .compression import decode
from .engine import Engine
from .errors import ACCESS_DENIED, NOT_IMPLEMENTED, UNKNOWN_EXCEPTION, EngineError, refusal
from .execution import Reply, Stream, run_insert, run_statement, too_large
from .request import Call, parse_call, split_body

logger = logging.getLogger(__name__)

DEFAULT_MAX_BODY_BYTES = 256 << 20

_STATEMENT_THREADS = 4
_INSERT_THREADS = 2
# The server's limit for a request line; aiohttp's own is 8 KiB, and statements and parameters travel in the URL.
_MAX_LINE_BYTES = 1 << 20
_READ_BUFFER_BYTES = 1 << 20
# aiohttp waits this long twice, before and after it stops reading requests: 5 s together.
_SHUTDOWN_SECONDS = 2.5

_CONTENT_TYPES = (
    ("json", "application/json; charset=UTF-8"),
    ("tabseparated", "text/tab-separated-values; charset=UTF-8"),
    ("tsv", "text/tab-separated-values; charset=UTF-8"),
    ("csv", "text/csv; charset=UTF-8; header=absent"),
    ("pretty", "text/plain; charset=UTF-8"),
    ("vertical", "text/plain; charset=UTF-8"),
    ("values", "text/plain; charset=UTF-8"),
    ("xml", "application/xml; charset=UTF-8"),
    ("markdown", "text/markdown; charset=UTF-8"),
)

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Endpoint:
    """Handlers over one engine."""

    def __init__(self, engine: Engine, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES) -> None:
        self._engine = engine
        self._max_body_bytes = max_body_bytes
        self._statements = ThreadPoolExecutor(_STATEMENT_THREADS, "statement")
        self._inserts = ThreadPoolExecutor(_INSERT_THREADS, "insert")

    def runner(self) -> web.AppRunner:
        application = web.Application(client_max_size=self._max_body_bytes, middlewares=[_errors])
        application.add_routes(
            [web.get("/", self.handle), web.post("/", self.handle), web.get("/ping", _ping)],
        )
        return web.AppRunner(
            application,
            access_log=None,
            auto_decompress=False,
            handle_signals=False,
            max_line_size=_MAX_LINE_BYTES,
            read_bufsize=_READ_BUFFER_BYTES,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )

    def close(self) -> None:
        """Let go of the threads; those still in the engine are not waited for."""
        for executor in (self._statements, self._inserts):
            executor.shutdown(wait=False, cancel_futures=True)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        form = await _read_form(request) if request.content_type == "multipart/form-data" else {}
        call = parse_call(request.raw_path, request.headers, form, readonly=request.method != "POST")
        request["call"] = call
        chunks = deque() if form else await self._read_body(request)
        if not chunks and not call.query:
            return await _ping(request)
        outcome = await self._run(call, chunks, request.headers.get("Content-Encoding", "").lower())
        if isinstance(outcome, Reply):
            return self._respond(call, outcome.body, outcome.format, outcome.summary)
        if outcome.ended:
            return self._respond(call, outcome.head, outcome.format, outcome.summary)
        return await self._send_stream(request, call, outcome)

    async def _read_body(self, request: web.Request) -> deque[bytes]:
        """All of the body before anything runs: a client that breaks off has inserted nothing, and holds no thread."""
        if (request.content_length or 0) > self._max_body_bytes:
            raise too_large(self._max_body_bytes)
        chunks: deque[bytes] = deque()
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
            if size > self._max_body_bytes:
                raise too_large(self._max_body_bytes)
            chunks.append(chunk)
        return chunks

    async def _run(self, call: Call, chunks: deque[bytes], encoding: str) -> Reply | Stream:
        # Telling an insert from the rest reads the head only (64 KiB), so the loop can afford it.
        insert, pieces = split_body(call, decode(_drain(chunks), encoding))
        if insert is not None:
            return await _in_thread(self._inserts, run_insert, self._engine, call, insert, pieces)
        return await _in_thread(self._statements, run_statement, self._engine, call, pieces, self._max_body_bytes)

    def _headers(self, call: Call, format_name: str | None) -> dict[str, str]:
        headers = {"X-ClickHouse-Query-Id": call.query_id, "X-ClickHouse-Timezone": self._engine.timezone}
        if format_name is None:
            # No format header: clients tell a statement without rows from an empty result by it.
            return headers | {"Content-Type": "text/plain; charset=UTF-8"}
        return headers | {"X-ClickHouse-Format": format_name, "Content-Type": _content_type(format_name)}

    def _respond(self, call: Call, body: bytes, format_name: str | None, summary: str) -> web.Response:
        return web.Response(body=body, headers=self._headers(call, format_name) | {"X-ClickHouse-Summary": summary})

    async def _send_stream(self, request: web.Request, call: Call, stream: Stream) -> web.StreamResponse:
        tag = "".join(secrets.choice(string.ascii_lowercase) for _ in range(16))
        headers = self._headers(call, stream.format) | {"X-ClickHouse-Exception-Tag": tag}
        response = web.StreamResponse(headers=headers)
        try:
            await response.prepare(request)
            error = await self._copy(stream, response)
            if error is not None:
                await response.write(_late_error(error.message, tag))
                if request.transport is not None:
                    # Without the last chunk a client that does not know the tag still sees that something is wrong.
                    request.transport.close()
        except ConnectionError:
            logger.debug("the client of query %s went away", call.query_id)
        finally:
            # Whatever ends the reply early ends the query too.
            if not stream.ended:
                await _in_thread(self._statements, stream.cancel)
        return response

    async def _copy(self, stream: Stream, response: web.StreamResponse) -> EngineError | None:
        """Send the whole result; returns what went wrong in the engine."""
        chunk = stream.head
        while chunk:
            await response.write(chunk)
            try:
                chunk = b"" if stream.ended else await _in_thread(self._statements, stream.read)
            except EngineError as error:
                return error
        return None


@web.middleware
async def _errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        if "Origin" in request.headers:
            # There are no users here, so no web page that somebody has open may send statements to this port.
            raise refusal(ACCESS_DENIED, "Requests from web pages are not accepted")
        return await handler(request)
    except EngineError as error:
        return _error_response(request, error)
    except (web.HTTPException, ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        logger.exception("a request failed")
        return _error_response(request, refusal(UNKNOWN_EXCEPTION, f"{type(error).__name__}: {error}"))


def _error_response(request: web.Request, error: EngineError) -> web.Response:
    headers = {"X-ClickHouse-Exception-Code": str(error.code)}
    call = request.get("call")
    if isinstance(call, Call):
        headers["X-ClickHouse-Query-Id"] = call.query_id
    return web.Response(status=error.status, text=error.message + "\n", headers=headers)


def _late_error(message: str, tag: str) -> bytes:
    """An error after the first bytes of a result, as ClickHouse >= 25.11 marks it; the tag makes it unforgeable."""
    text = message.encode() + b"\n"
    mark, tag_bytes = b"\r\n__exception__\r\n", tag.encode()
    return mark + tag_bytes + b"\r\n" + text + f"{len(text)} ".encode() + tag_bytes + mark


async def _ping(_: web.Request) -> web.Response:
    return web.Response(text="Ok.\n")


async def _read_form(request: web.Request) -> dict[str, str]:
    """A multipart body, in which clients send long statements and parameters."""
    form: dict[str, str] = {}
    for name, value in (await request.post()).items():
        if not isinstance(value, str):
            raise refusal(NOT_IMPLEMENTED, "External tables are not supported")
        form[name] = value
    return form


async def _in_thread(
    executor: ThreadPoolExecutor,
    function: Callable[_Arguments, _Result],
    *args: _Arguments.args,
    **kwargs: _Arguments.kwargs,
) -> _Result:
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: function(*args, **kwargs))


def _drain(chunks: deque[bytes]) -> Iterator[bytes]:
    """The chunks in order, each one freed as soon as it is used."""
    while chunks:
        yield chunks.popleft()


def _content_type(format_name: str) -> str:
    lowered = format_name.lower()
    return next((kind for start, kind in _CONTENT_TYPES if lowered.startswith(start)), "application/octet-stream")
