"""One Python library through a move of the VIP: `probe.py LIBRARY HOST PORT USER PASSWORD FIRST_ROW`.

Says `ready` once it has a connection that idles and one that inserts row by row. On the line `fault` it makes a new connection; on the
line `over` it uses the idle one. Each of the three is tried until it succeeds, and told as a line of JSON.
"""

import asyncio
import json
import sys
import threading
import time

LIBRARY, HOST, PORT, USER, PASSWORD, FIRST = sys.argv[1:]
WHERE = {"host": HOST, "port": int(PORT), "user": USER, "password": PASSWORD}
INSERT = "INSERT INTO lab.ledger (id, note) VALUES ({}, 'a library')"
AGAIN_AFTER = 0.1  # seconds between two attempts
GIVES_UP_AFTER = 20.0  # seconds of errors
UNHARMED = 3.0  # seconds after the move: whoever has not failed until then does not


class Single:
    """A connection that the application keeps, and makes anew after an error."""

    def __init__(self, connect):
        self.connect, self.connection = connect, None

    def insert(self, row):
        self.run(INSERT.format(row))

    def run(self, statement):
        self.connection = self.connection or self.connect()
        try:
            cursor = self.connection.cursor()
            cursor.execute(statement)
            rows = cursor.fetchall() if statement.startswith("SELECT") else []
            self.connection.commit()
            return rows
        except Exception:
            self.connection = None
            raise


class ConnectorPool:
    def __init__(self):
        import mysql.connector.pooling

        self.pool = mysql.connector.pooling.MySQLConnectionPool(pool_size=1, **WHERE)

    def run(self, statement):
        connection = self.pool.get_connection()
        try:
            cursor = connection.cursor()
            cursor.execute(statement)
            rows = cursor.fetchall() if statement.startswith("SELECT") else []
            connection.commit()
            return rows
        finally:
            connection.close()

    def insert(self, row):
        self.run(INSERT.format(row))


class Engine:
    """SQLAlchemy's own pool, over PyMySQL."""

    def __init__(self, **options):
        import sqlalchemy

        self.text = sqlalchemy.text
        url = sqlalchemy.URL.create("mysql+pymysql", USER, PASSWORD, HOST, int(PORT))
        self.engine = sqlalchemy.create_engine(url, pool_size=1, max_overflow=0, **options)

    def run(self, statement):
        with self.engine.begin() as connection:
            result = connection.execute(self.text(statement))
            return result.fetchall() if statement.startswith("SELECT") else []

    def insert(self, row):
        self.run(INSERT.format(row))


class AsyncPool:
    """Its event loop runs all the time, as an application's does: a loop that stands still does not notice that a connection has ended."""

    def __init__(self, create_pool):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.create_pool, self.pool = create_pool, None

    async def statement(self, statement):
        self.pool = self.pool or await self.create_pool(minsize=1, maxsize=1, autocommit=True, **WHERE)
        async with self.pool.acquire() as connection, connection.cursor() as cursor:
            await cursor.execute(statement)
            return await cursor.fetchall() if statement.startswith("SELECT") else []

    def run(self, statement):
        return asyncio.run_coroutine_threadsafe(self.statement(statement), self.loop).result()

    def insert(self, row):
        self.run(INSERT.format(row))


def client():
    """A new client of the library: its connections are shared with no other."""
    match LIBRARY:
        case "PyMySQL":
            import pymysql

            return Single(lambda: pymysql.connect(**WHERE))
        case "mysqlclient":
            import MySQLdb

            return Single(lambda: MySQLdb.connect(**WHERE))
        case "mysql-connector-python":
            import mysql.connector

            return Single(lambda: mysql.connector.connect(**WHERE))
        case "mysql-connector-python, ssl_disabled":
            import mysql.connector

            return Single(lambda: mysql.connector.connect(ssl_disabled=True, **WHERE))
        case "mysql-connector-python, pool":
            return ConnectorPool()
        case "SQLAlchemy":
            return Engine()
        case "SQLAlchemy, pool_pre_ping":
            return Engine(pool_pre_ping=True)
        case "aiomysql, pool":
            import aiomysql

            return AsyncPool(aiomysql.create_pool)
        case "asyncmy, pool":
            import asyncmy

            return AsyncPool(asyncmy.create_pool)
    raise SystemExit(f"no library {LIBRARY}")


def number(error):
    """The error's number, where it has one; SQLAlchemy wraps the driver's."""
    error = getattr(error, "orig", None) or error
    found = getattr(error, "errno", None) or next(iter(error.args), None)
    return str(found) if isinstance(found, int) else type(error).__name__


def until_it_succeeds(what):
    """Errors until then, and seconds; none where it was given up."""
    began, errors = time.monotonic(), []
    while True:
        try:
            what()
            return {"errors": errors, "seconds": time.monotonic() - began}
        except Exception as error:
            errors.append(number(error))
            if time.monotonic() - began > GIVES_UP_AFTER:
                return {"errors": errors, "seconds": None}
            time.sleep(AGAIN_AFTER)


def tell(what, **figures):
    print(json.dumps({"what": what, **figures}), flush=True)


def insert_for_ever(busy, over, row):
    """Inserts until an error is over, and tells it; and whether the row that failed first is there all the same."""
    since = time.monotonic()
    while not (over.is_set() and time.monotonic() - over.at > UNHARMED):
        try:
            busy.insert(row)
            since = time.monotonic()
            row += 1
        except Exception as error:
            recovery = until_it_succeeds(lambda: busy.insert(row + 1))
            errors = [number(error), *recovery["errors"]]
            if recovery["seconds"] is None:
                return tell("busy", errors=errors, seconds=None)
            seconds = time.monotonic() - since
            written = busy.run(f"SELECT id FROM lab.ledger WHERE id = {row}")
            return tell("busy", errors=errors, seconds=seconds, written=bool(written))
    tell("busy", errors=[], seconds=0.0)


def main():
    row = int(FIRST)
    idle, busy, over = client(), client(), threading.Event()
    idle.insert(row)
    busy.insert(row + 1)
    inserting = threading.Thread(target=insert_for_ever, args=(busy, over, row + 10), daemon=True)
    inserting.start()
    print("ready", flush=True)
    sys.stdin.readline()
    tell("connect", **until_it_succeeds(lambda: client().run("SELECT 1")))
    sys.stdin.readline()
    over.at = time.monotonic()
    over.set()
    tell("idle", **until_it_succeeds(lambda: idle.insert(row + 2)))
    inserting.join()


main()
