"""The embedded ClickHouse endpoint, seen by clickhouse-connect and by plain HTTP clients. Real chDB, real sockets."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
import uuid
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import clickhouse_connect
import lz4.frame
import pytest
from backports import zstd
from clickhouse_connect.driver.exceptions import DatabaseError, StreamFailureError

from deploy.local.clickhouse.compression import decode
from deploy.local.clickhouse.errors import EngineError
from deploy.local.clickhouse.statement import parse, split_insert

from .clickhouse_server import ROOT, clickhouse_server, command, start, stop

COMPRESSORS = {
    "lz4": lz4.frame.compress,
    "zstd": zstd.compress,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with clickhouse_server(tmp_path_factory.mktemp("clickhouse") / "data") as url:
        yield url


@pytest.fixture
def table() -> str:
    return f"t_{uuid.uuid4().hex}"


@pytest.fixture
def client(url: str) -> Iterator[Any]:
    client = connect(url)
    yield client
    client.close()


def connect(url: str, compress: str | bool = False, **options: Any) -> Any:
    return clickhouse_connect.get_client(dsn=url, compress=compress, autogenerate_session_id=False, **options)


def fetch(
    url: str, method: str = "POST", body: bytes = b"", headers: dict[str, str] | None = None, **parameters: str
) -> tuple[int, dict[str, str], bytes]:
    """One request by a client that knows nothing of ClickHouse."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.request(method, f"/?{urlencode(parameters)}", body, headers or {})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


# Plain HTTP


def test_ping_and_root_answer_ok(url: str, client: Any) -> None:
    assert client.ping()
    assert fetch(url, "GET")[::2] == (200, b"Ok.\n")


def test_statement_in_the_body_or_in_the_url(url: str) -> None:
    status, headers, body = fetch(url, body=b"SELECT 1 AS one FORMAT JSON")
    assert status == 200
    assert json.loads(body)["data"] == [{"one": 1}]
    assert headers["X-ClickHouse-Format"] == "JSON"
    assert headers["Content-Type"].startswith("application/json")
    assert uuid.UUID(headers["X-ClickHouse-Query-Id"])
    assert headers["X-ClickHouse-Timezone"]
    assert fetch(url, "GET", query="SELECT 'é', 1", query_id="mine")[1]["X-ClickHouse-Query-Id"] == "mine"
    assert fetch(url, "GET", query="SELECT 'é', 1")[2] == "é\t1\n".encode()
    assert fetch(url, query="SELECT 1,", body=b"2 FORMAT CSV")[2] == b"1,2\n"
    assert fetch(url, body=b"SELECT 1", default_format="JSONEachRow")[2] == b'{"1":1}\n'
    assert fetch(url, body=b"SELECT 1", headers={"X-ClickHouse-Format": "CSV"})[1]["X-ClickHouse-Format"] == "CSV"


def test_database_comes_from_parameter_or_header(url: str) -> None:
    assert fetch(url, body=b"SELECT currentDatabase()", database="system")[2] == b"system\n"
    headers = {"X-ClickHouse-Database": "system"}
    assert fetch(url, body=b"SELECT currentDatabase()", headers=headers)[2] == b"system\n"
    status, headers, body = fetch(url, body=b"SELECT 1", database="nowhere")
    assert (status, headers["X-ClickHouse-Exception-Code"]) == (404, "81")
    assert body.startswith(b"Code: 81. DB::Exception: ")


def test_settings_apply_to_one_request_only(url: str) -> None:
    read = b"SELECT getSetting('max_threads')"
    before = fetch(url, body=read)[2]
    assert fetch(url, body=read, max_threads="7")[2] == b"7\n"
    assert fetch(url, body=read, max_threads="5", date_time_input_format="best_effort")[2] == b"5\n"
    assert fetch(url, body=b"SET max_threads = 9")[0] == 200
    assert all(fetch(url, body=read)[2] == before for _ in range(8))
    assert fetch(url, body=read, no_such_setting="1")[1]["X-ClickHouse-Exception-Code"] == "115"
    assert fetch(url, body=read, **{"max_threads = 3, x": "1"})[1]["X-ClickHouse-Exception-Code"] == "115"


def test_get_is_read_only(url: str, table: str) -> None:
    assert fetch(url, body=f"CREATE TABLE {table} (a Int32) ENGINE = MergeTree ORDER BY a".encode())[0] == 200
    for query in (f"INSERT INTO {table} VALUES (1)", f"INSERT INTO {table} SELECT 1", f"DROP TABLE {table}"):
        assert fetch(url, "GET", query=query)[1]["X-ClickHouse-Exception-Code"] == "164"
    assert fetch(url, "GET", query=f"SELECT count() FROM {table}", max_threads="1")[2] == b"0\n"


def test_what_http_never_allows(url: str, tmp_path: Path) -> None:
    assert fetch(url, body=b"SELECT 1; SELECT 2")[1]["X-ClickHouse-Exception-Code"] == "62"
    assert fetch(url, body=b"SELECT ';' /* ; */ ; -- the end")[2] == b";\n"
    outfile = f"SELECT 1 INTO OUTFILE '{tmp_path / 'out'}'".encode()
    assert fetch(url, body=outfile)[1]["X-ClickHouse-Exception-Code"] == "358"
    assert fetch(url, body=b"SELECT 1", headers={"Origin": "https://example.org"})[0] == 403
    assert fetch(url, body=b"SELECT 1", decompress="1")[0] == 501


def test_inserts_by_plain_http(url: str, table: str) -> None:
    fetch(url, body=f"CREATE TABLE {table} (a Int32, b String) ENGINE = MergeTree ORDER BY a".encode())
    status, headers, body = fetch(url, body=f"INSERT INTO {table} VALUES (1, 'x;'), (2, 'FORMAT');".encode())
    assert (status, body) == (200, b"")
    assert json.loads(headers["X-ClickHouse-Summary"])["written_rows"] == "2"
    assert "X-ClickHouse-Format" not in headers
    fetch(url, query=f"INSERT INTO {table} FORMAT CSV\n", body=b'3,"y, z"\n4,\n')
    fetch(url, body=f"INSERT INTO {table} (b, a) FORMAT TSV\n\t5\n".encode())
    fetch(url, body=f"INSERT INTO {table} SELECT 6, 's'".encode())
    body = fetch(url, body=f"SELECT * FROM {table} ORDER BY a FORMAT CSV".encode())[2]
    assert body == b'1,"x;"\n2,"FORMAT"\n3,"y, z"\n4,""\n5,""\n6,"s"\n'


def test_totals_are_not_lost(url: str) -> None:
    query = b"SELECT number % 2 AS k, count() FROM numbers(4) GROUP BY k WITH TOTALS ORDER BY k"
    assert fetch(url, body=query)[2] == b"0\t2\n1\t2\n\n0\t4\n"


def test_late_error_breaks_the_transfer(url: str) -> None:
    """A client that does not know the exception tag must not take the first part of a result for all of it."""
    with pytest.raises(http.client.IncompleteRead) as broken:
        fetch(url, body=b"SELECT number, throwIf(number = 900000) FROM numbers(1000000)")
    assert b"__exception__" in broken.value.partial
    assert b"Code: 395. DB::Exception: " in broken.value.partial


def test_body_that_breaks_off_inserts_nothing(url: str, table: str) -> None:
    fetch(url, body=f"CREATE TABLE {table} (a Int32) ENGINE = MergeTree ORDER BY a".encode())
    with socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0)) as connection:
        query = urlencode({"query": f"INSERT INTO {table} FORMAT TSV"})
        connection.sendall(f"POST /?{query} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n1\n2\n".encode())
    assert fetch(url, body=f"SELECT count() FROM {table}".encode())[2] == b"0\n"


def test_too_large_a_body_gets_413(tmp_path: Path) -> None:
    with clickhouse_server(tmp_path / "data", "--max-body-mib", "1") as url:
        client = connect(url)
        client.command("CREATE TABLE t (s String) ENGINE = MergeTree ORDER BY s")
        assert fetch(url, body=b"SELECT '" + b"x" * (2 << 20) + b"'")[0] == 413
        with pytest.raises(DatabaseError) as refused:
            client.raw_insert("t", ["s"], (b"x" * 1000 + b"\n" for _ in range(3000)), fmt="TSV")
        assert refused.value.code == 229
        assert "larger than 1048576 bytes" in str(refused.value)
        # A small body may not unpack to a huge statement either.
        bomb = gzip.compress(b"SELECT 1" + b" " * (64 << 20))
        assert fetch(url, body=bomb, headers={"Content-Encoding": "gzip"})[0] == 413
        assert client.query("SELECT count() FROM t").result_rows == [(0,)]


# clickhouse-connect


@pytest.mark.parametrize("compress", [False, "lz4", "zstd", "gzip"])
def test_every_row_arrives_in_every_compression(url: str, table: str, compress: str | bool) -> None:
    """100,000 rows are seven blocks of clickhouse-connect, so seven compressed frames."""
    client = connect(url, compress)
    client.command(f"CREATE TABLE {table} (id UInt32, name String) ENGINE = MergeTree ORDER BY id")
    ids = list(range(100_000))
    summary = client.insert(
        table,
        [ids, [f"name {i}" for i in ids]],
        column_names=["id", "name"],
        column_type_names=["UInt32", "String"],
        column_oriented=True,
        settings={"async_insert": 0},
    )
    assert summary.written_rows == 100_000
    read = client.query(f"SELECT count(), uniqExact(id), sum(id), max(name) FROM {table}").result_rows
    assert read == [(100_000, 100_000, sum(ids), "name 99999")]
    assert list(client.query(f"SELECT id FROM {table} ORDER BY id", column_oriented=True).result_columns[0]) == ids


@pytest.mark.parametrize("encoding", COMPRESSORS)
def test_raw_insert_of_many_frames(client: Any, table: str, encoding: str) -> None:
    client.command(f"CREATE TABLE {table} (id UInt32) ENGINE = MergeTree ORDER BY id")
    frames = 1 if encoding == "deflate" else 30  # deflate has no frames to put together
    rows = [b"".join(b"%d\n" % (j * 1000 + i) for i in range(1000)) for j in range(frames)]
    body = b"".join(COMPRESSORS[encoding](part) for part in rows)
    summary = client.raw_insert(table, ["id"], body, fmt="TSV", compression=encoding)
    assert summary.written_rows == frames * 1000
    assert client.query(f"SELECT uniqExact(id) FROM {table}").result_rows == [(frames * 1000,)]
    with pytest.raises(DatabaseError) as refused:
        client.raw_insert(table, ["id"], body[:-9], fmt="TSV", compression=encoding)
    assert refused.value.code == 271
    assert client.query(f"SELECT count() FROM {table}").result_rows == [(frames * 1000,)]


def test_column_oriented_insert_of_the_types_we_use(client: Any, table: str) -> None:
    columns = {
        "time": "DateTime64(3, 'UTC')",
        "device": "LowCardinality(String)",
        "alarms": "Array(LowCardinality(String))",
        "valid": "Bool",
        "latitude": "Int32",
    }
    definition = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    client.command(f"CREATE TABLE {table} ({definition}) ENGINE = MergeTree ORDER BY time")
    data = [
        [1_700_000_000_123, 1_700_000_001_000],
        ["860000000000001", "tab\tquote'"],
        [["sos", "power_cut"], []],
        [True, False],
        [-(2**31), 2**31 - 1],
    ]
    names, kinds = list(columns), list(columns.values())
    client.insert(table, data, column_names=names, column_type_names=kinds, column_oriented=True)
    assert client.query(f"SELECT * FROM {table} ORDER BY time").result_rows == [
        (datetime(2023, 11, 14, 22, 13, 20, 123000), "860000000000001", ["sos", "power_cut"], True, -(2**31)),
        (datetime(2023, 11, 14, 22, 13, 21), "tab\tquote'", [], False, 2**31 - 1),
    ]


NASTY = ["it's", 'a "b"', "tab\there", "line\nend", "back\\slash", "%41 &+=?", "é漢", "{x:Int8}", ""]


def test_parameters_arrive_as_sent(url: str, client: Any, table: str) -> None:
    for text in NASTY:
        assert client.query("SELECT {x:String}", parameters={"x": text}).result_rows == [(text,)]
    parameters = {"list": NASTY, "number": -7, "time": datetime(2024, 2, 29, 1, 2, 3), "nothing": None}
    read = client.query(
        "SELECT {list:Array(String)}, {number:Int32}, {time:DateTime64(3, 'UTC')}, {nothing:Nullable(String)}",
        parameters=parameters,
    ).result_rows
    assert read == [(NASTY, -7, datetime(2024, 2, 29, 1, 2, 3), None)]
    long = "x" * 100_000  # sent as a form, for it does not fit in a URL
    assert client.query("SELECT length({x:String})", parameters={"x": long}).result_rows == [(100_000,)]
    client.command(f"CREATE TABLE {table} (a String) ENGINE = MergeTree ORDER BY a")
    for text in NASTY:
        client.command("INSERT INTO {t:Identifier} VALUES ({x:String})", parameters={"t": table, "x": text})
    assert client.query(f"SELECT groupArray(a) FROM (SELECT * FROM {table} ORDER BY a)").result_rows == [
        (sorted(NASTY),)
    ]
    assert fetch(url, body=b"SELECT 1", **{"param_x = 1, y": "2"})[0] == 404


def test_commands_and_empty_results(client: Any, table: str) -> None:
    assert client.command("SELECT 1") == 1
    assert client.command("SELECT 1 WHERE 0") == ""
    created = client.command(f"CREATE TABLE {table} (a Int32) ENGINE = MergeTree ORDER BY a")
    assert created.written_rows == 0
    assert client.command(f"INSERT INTO {table} SELECT number FROM numbers(10)").written_rows == 10
    assert client.query(f"SELECT * FROM {table} LIMIT 0").column_names == ("a",)
    assert client.query(f"SELECT * FROM {table} WHERE a > 100").result_rows == []
    assert client.query(f"DESCRIBE TABLE {table}").result_rows[0][:2] == ("a", "Int32")
    client.insert(table, [[11], [12]], column_names="*")
    assert client.command(f"SELECT count() FROM {table}") == 12
    client.command(f"DROP TABLE {table}")
    assert client.command(f"EXISTS TABLE {table}") == 0


def test_large_results_stream(client: Any) -> None:
    rows = 0
    with client.query_row_block_stream("SELECT number, toString(number) FROM numbers(1000000)") as blocks:
        for block in blocks:
            rows += len(block)
    assert rows == 1_000_000
    # The filter leaves whole blocks without a row; they must not end the result.
    sparse = client.query("SELECT number FROM numbers(5000000) WHERE number IN (5, 4999999)").result_rows
    assert sparse == [(5,), (4_999_999,)]


def test_reader_that_goes_away_ends_its_query(url: str, client: Any) -> None:
    query = b"SELECT number, 'gone' FROM system.numbers FORMAT TSV"
    with socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0)) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(query) + query)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")
    running = "SELECT count() FROM system.processes WHERE query LIKE '%gone%' AND query NOT LIKE '%processes%'"
    deadline = time.monotonic() + 5
    while client.command(running) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.command(running) == 0


@pytest.mark.parametrize(
    ("query", "code", "name"),
    [
        ("SELECT 1 )", 62, "SYNTAX_ERROR"),
        ("SELECT * FROM no_such_table", 60, "UNKNOWN_TABLE"),
        ("SELECT throwIf(number = 3) FROM numbers(10)", 395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    ],
)
def test_errors_carry_code_and_name(client: Any, query: str, code: int, name: str) -> None:
    with pytest.raises(DatabaseError) as failed:
        client.query(query)
    assert not isinstance(failed.value, StreamFailureError)
    assert (failed.value.code, failed.value.name) == (code, name)
    assert client.query("SELECT 1").result_rows == [(1,)]


def test_failed_inserts_leave_nothing(client: Any, table: str) -> None:
    client.command(f"CREATE TABLE {table} (a Int32) ENGINE = MergeTree ORDER BY a")
    # The second message quotes bytes that are not UTF-8: CPython 3.11.2 loses it, and with it the code.
    for block, codes in ((b"1\n2\nx\n", {27}), (b"1\n\xff\xfe\n", {27, 1002})):
        with pytest.raises(DatabaseError) as failed:
            client.raw_insert(table, ["a"], block, fmt="TSV")
        assert failed.value.code in codes
    with pytest.raises(DatabaseError) as failed:
        client.raw_insert("no_such_table", ["a"], b"1\n", fmt="TSV")
    assert failed.value.code == 60
    assert client.command(f"SELECT count() FROM {table}") == 0


def test_error_after_the_first_block(client: Any) -> None:
    query = "SELECT number, throwIf(number = 900000) FROM numbers(1000000)"
    result = client.query(query)
    with pytest.raises(StreamFailureError) as failed:
        _ = result.result_rows  # read no earlier than here
    assert failed.value.code == 395
    read: list[int] = []
    with client.query_row_block_stream(query) as blocks, pytest.raises(StreamFailureError) as failed:
        read.extend(len(block) for block in blocks)
    assert failed.value.code == 395
    assert 0 < sum(read) < 900_000
    # The connection of a failed stream still holds rows of it: nothing of them may reach anybody else.
    assert all(client.query("SELECT 1").result_rows == [(1,)] for _ in range(5))


# Concurrency, durability, the process


def test_long_selects_do_not_hold_up_inserts(url: str, table: str) -> None:
    connect(url).command(f"CREATE TABLE {table} (a Int32) ENGINE = MergeTree ORDER BY a")
    slow = "SELECT sum(sleepEachRow(0.1)) FROM numbers(20)"

    def select() -> float:
        connect(url).query(slow)
        return time.monotonic()

    writer = connect(url)
    with ThreadPoolExecutor(4) as readers:
        selects = [readers.submit(select) for _ in range(4)]
        time.sleep(0.5)
        for i in range(5):
            writer.insert(table, [[i]], column_names=["a"], column_type_names=["Int32"])
        inserted = time.monotonic()
        ended = [select.result() for select in selects]
    assert inserted < min(ended)
    assert max(ended) - min(ended) < 1.5, "the selects ran one after the other"
    assert writer.command(f"SELECT count() FROM {table}") == 5


def test_acknowledged_rows_survive_kill_9(tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    acknowledged: list[int] = []

    def write() -> None:
        writer = connect(server.url)
        for block in range(1_000_000):
            ids = list(range(block * 100, block * 100 + 100))
            writer.insert("t", [ids], column_names=["a"], column_type_names=["UInt32"], column_oriented=True)
            acknowledged.append(block)

    client = connect(server.url)
    client.command("CREATE TABLE t (a UInt32) ENGINE = MergeTree ORDER BY a SETTINGS fsync_after_insert = 1")
    with ThreadPoolExecutor(1) as writers:
        writing = writers.submit(write)
        while len(acknowledged) < 20 and not writing.done():
            time.sleep(0.01)
        os.kill(server.process.pid, signal.SIGKILL)
        assert writing.exception() is not None
    stop(server)
    with clickhouse_server(tmp_path / "data") as url:
        counts = dict(connect(url).query("SELECT intDiv(a, 100), count() FROM t GROUP BY 1").result_rows)
    assert set(counts) >= set(acknowledged)
    assert set(counts) <= {*acknowledged, len(acknowledged)}, "at most the block under way may be there too"
    assert set(counts.values()) == {100}, "no block may be there in part"


def test_sigterm_lets_running_requests_finish(tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    client = connect(server.url)
    with ThreadPoolExecutor(1) as readers:
        slow = readers.submit(client.command, "SELECT sum(sleepEachRow(0.1)) FROM numbers(15)")
        time.sleep(0.5)
        assert stop(server) == 0
        assert slow.result() == 0


def test_sigterm_ends_what_does_not_finish(tmp_path: Path) -> None:
    server = start(tmp_path / "data")
    client = connect(server.url, query_retries=0)
    endless = "SELECT sum(sleepEachRow(1)) FROM numbers(60) SETTINGS max_block_size = 1, max_threads = 1"
    caught: list[BaseException] = []

    def select() -> None:
        try:
            client.command(endless)
        except DatabaseError as error:
            caught.append(error)

    reader = threading.Thread(target=select)
    reader.start()
    time.sleep(0.5)
    began = time.monotonic()
    assert stop(server) == 0
    assert time.monotonic() - began < 8
    reader.join(5)
    assert caught


@pytest.mark.parametrize("problem", ["directory in use", "port in use", "not a directory"])
def test_what_cannot_start_says_why(url: str, tmp_path: Path, problem: str) -> None:
    if problem == "directory in use":
        with clickhouse_server(tmp_path / "data"):
            failed = subprocess.run(command(tmp_path / "data"), cwd=ROOT, capture_output=True, text=True, timeout=20)
        expected = "is in use by another process"
    elif problem == "port in use":
        arguments = [*command(tmp_path / "data"), "--port", str(urlsplit(url).port)]
        failed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=20)
        expected = f"cannot listen on 127.0.0.1:{urlsplit(url).port}: Address already in use"
    else:
        (tmp_path / "data").write_text("a file")
        failed = subprocess.run(command(tmp_path / "data"), cwd=ROOT, capture_output=True, text=True, timeout=20)
        expected = "cannot use the data directory"
    assert failed.returncode == 2
    assert failed.stdout == ""
    assert expected in failed.stderr
    assert failed.stderr.count("\n") == 1, failed.stderr


# The pure parts, where HTTP would hide the detail


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"INSERT INTO t (a) FORMAT Native\n\x01\x02", (b"INSERT INTO t (a)", "Native", b"\x01\x02")),
        (b"insert into t values (1)", (b"insert into t", "Values", b" (1)")),
        (b"/* INSERT */ INSERT INTO t -- FORMAT CSV\n FORMAT TSV \r\n 1", (None, "TSV", b" 1")),
        (b"INSERT INTO db.values FORMAT CSV\n1", (b"INSERT INTO db.values", "CSV", b"1")),
        (
            b"INSERT INTO `format values` (`select`) VALUES(1)",
            (b"INSERT INTO `format values` (`select`)", "Values", b"(1)"),
        ),
        (b"INSERT INTO TABLE FUNCTION file('x FORMAT y') FORMAT CSV 1", (None, "CSV", b"1")),
        (b"INSERT INTO t SETTINGS async_insert=0 FORMAT CSV\n", (b"INSERT INTO t SETTINGS async_insert=0", "CSV", b"")),
        (b"INSERT INTO t SELECT 1 FORMAT CSV", None),
        (b"INSERT INTO t WITH 1 AS x SELECT x", None),
        (b"INSERT INTO t FROM INFILE 'f' FORMAT CSV", None),
        (b"INSERT INTO t; DROP TABLE u FORMAT CSV", None),
        (b"SELECT 'INSERT INTO t FORMAT CSV'", None),
        (b"", None),
    ],
)
def test_where_the_data_of_an_insert_starts(head: bytes, expected: tuple[bytes | None, str, bytes] | None) -> None:
    insert = split_insert(head)
    if expected is None:
        assert insert is None
    else:
        assert insert is not None
        statement, format_name, rest = expected
        assert (insert.format, insert.rest) == (format_name, rest)
        assert statement is None or insert.statement == statement


@pytest.mark.parametrize(
    ("sql", "first", "format_name", "streams", "sticky"),
    [
        (b"SELECT 1 FORMAT Native", "SELECT", "Native", True, False),
        (b"-- hello\nwith 1 as x select format('{}', x)", "WITH", None, True, False),
        (b"WITH 1 AS x INSERT INTO t SELECT x", "INSERT", None, False, False),
        (b"SELECT (SELECT 1 FORMAT JSON)", "SELECT", None, True, False),
        (b"SELECT 'a; FORMAT JSON', \"b;\", $x$;'$x$ FORMAT CSV;", "SELECT", "CSV", True, False),
        (b"(SELECT 1) UNION ALL (SELECT 2)", "(", None, False, False),
        (b"USE db", "USE", None, False, True),
        (b"CREATE TEMPORARY TABLE t (a Int8)", "CREATE", None, False, True),
        (b"SHOW TABLES", "SHOW", None, False, False),
    ],
)
def test_what_a_statement_is(sql: bytes, first: str, format_name: str | None, streams: bool, sticky: bool) -> None:
    statement = parse(sql)
    assert (statement.first, statement.format) == (first, format_name)
    assert (statement.can_stream, statement.sticky) == (streams, sticky)


@pytest.mark.parametrize("encoding", COMPRESSORS)
@pytest.mark.parametrize("size", [1, 7, 1000, 1 << 20])
def test_decoding_does_not_depend_on_how_the_body_was_cut(encoding: str, size: int) -> None:
    plain = [os.urandom(3000), b"\0" * (3 << 20), b"", b"end"]
    frames = [COMPRESSORS[encoding](part) for part in plain]
    body, expected = (frames[1], plain[1]) if encoding == "deflate" else (b"".join(frames), b"".join(plain))
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    pieces = list(decode(chunks, encoding))
    assert b"".join(pieces) == expected
    assert max(len(piece) for piece in pieces) <= 1 << 20
    with pytest.raises(EngineError):
        list(decode([*chunks, b"trailing garbage"], encoding))


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(EngineError, match="'br' is not supported"):
        decode([b"x"], "br")
