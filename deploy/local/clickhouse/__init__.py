"""The embedded ClickHouse: chDB behind the ClickHouse HTTP interface, for machines without a server.

No package registry ships a current ClickHouse server, and chDB (the engine as a library) allows one process per data
directory. So one process owns the directory and speaks the protocol that every client knows; the same client code then
runs against this endpoint, a server or a cluster. Start it with `python -m deploy.local.clickhouse --path DIR`.

    __main__     the process: arguments, port, signals, exit codes
    server       aiohttp: HTTP in, HTTP out; never touches the engine outside a worker thread
    request      one HTTP request as a Call: statement, settings, parameters, database
    statement    the little of SQL that a proxy has to know: where data starts, which format, one statement only
    compression  Content-Encoding, every frame of it
    execution    one Call against the engine: insert, streamed result or whole result
    engine       chDB connections: opened, pooled, closed
    errors       ClickHouse's error text, code and HTTP status
"""
