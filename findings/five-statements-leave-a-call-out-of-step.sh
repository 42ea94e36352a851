#!/bin/bash
# MySQL 9.7.4: after CALL of a procedure that ends with XA RECOVER, SHOW CREATE USER, SHOW PLUGINS, SHOW TRIGGERS or SHOW PROFILES, the session is out
# of step by one answer.
#
# A CALL ends with an OK packet of its own, and each result before it says so by SERVER_MORE_RESULTS_EXISTS ("there is more to read"). The results of these
# five do not say it when they come last; the same with any statement behind them, and the other SHOWs, do. So the client takes the OK of the CALL for
# the answer to its next query. What that means differs by library: PyMySQL looks at the packet's number and closes the connection; mysql-connector-python's
# pure Python goes on, and gives each query the answer to the one before it, without an error. A pool hands such a connection to the next user.
#
# haipmgr's account therefore may read XA RECOVER itself (XA_RECOVER_ADMIN) instead of calling a procedure. Who needs a procedure: put a SELECT behind.
#
# Needs what group/three-servers.sh says; one server is started. Seen, for each of the five: PyMySQL "Packet sequence number wrong"; mysql-connector-python
# answers "SELECT 42", "SELECT 43" with nothing, 42. For SHOW TABLES, and for each of the five before a SELECT: 42, 43.
. "$(dirname "$0")/group/three-servers.sh"
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$folder/python" mysql-connector-python==26.10.0
three_servers <<'PY'
import contextlib, sys
import mysql.connector
import pymysql
import group
from group import ask, connect

FIVE = ["XA RECOVER", "SHOW CREATE USER root@localhost", "SHOW PLUGINS", "SHOW TRIGGERS FROM d", "SHOW PROFILES"]
LIBRARIES = {
    "PyMySQL": lambda: connect(1),
    "mysql-connector-python": lambda: mysql.connector.connect(
        host="127.0.0.1", port=33101, user="root", use_pure=True, autocommit=True, connection_timeout=10),
}

def after_the_call(open_one):
    """What two queries on the same connection give, once every result of the CALL has been read."""
    connection = open_one()
    try:
        cursor = connection.cursor()
        cursor.execute("CALL d.p()")
        cursor.fetchall()
        while cursor.nextset():
            if cursor.description:
                cursor.fetchall()
        cursor.close()
        cursor = connection.cursor()
        answers = []
        for number in (42, 43):
            cursor.execute(f"SELECT {number}")
            answers.append([row[0] for row in cursor.fetchall()])
        return answers
    except pymysql.err.InternalError as error:
        return str(error).split(" - ")[0]
    finally:
        with contextlib.suppress(Exception):
            connection.close()

def of_both(body):
    ask(1, "DROP PROCEDURE IF EXISTS d.p", f"CREATE PROCEDURE d.p() BEGIN {body}; END")
    return [after_the_call(open_one) for open_one in LIBRARIES.values()]

group.one_server()
print("version:", ask(1, "SELECT @@version")[0][0])
RIGHT = [[[42], [43]]] * 2
as_seen = True
for statement in FIVE:
    last, before_another = of_both(statement), of_both(f"{statement}; SELECT 7")
    print(f"{statement}: {last}; with a SELECT behind it: {before_another}")
    as_seen &= last == ["Packet sequence number wrong", [[], [42]]] and before_another == RIGHT
other = of_both("SHOW TABLES FROM d")
print(f"SHOW TABLES: {other}")
sys.exit(0 if as_seen and other == RIGHT else "CHANGED")
PY
echo "as expected"
