#!/bin/bash
# MySQL 9.7.4: from SHUTDOWN on mysqld accepts nobody, and its port goes on taking TCP connections for seconds.
#
# One would think that a server which goes down closes its listening sockets first, so that clients are refused at once and go elsewhere. It stops
# accepting, leaves the sockets open, and closes them some three seconds later, when its process is nearly over. Meanwhile the kernel completes each
# handshake and keeps the connection in the queue: whoever connects sends nothing, hears nothing, and waits for its own time-out. A health check that
# only connects calls the server well; so does a look at the kernel's table of listening sockets. What tells sooner is the error log (MY-013172), or
# a check that waits for the server's greeting.
#
# Needs what group/three-servers.sh says; takes a minute.
. "$(dirname "$0")/group/three-servers.sh"
three_servers <<'PY'
import socket
import sys
import time

import pymysql

import group
from group import ask, connect

group.form()
print("version:", ask(3, "SELECT @@version")[0][0])
kept = connect(3)


def tries():
    """What a new client meets: refused, no greeting within 0.2 s, or greeted."""
    try:
        with socket.create_connection(("127.0.0.1", 33103), 0.2) as client:
            client.settimeout(0.2)
            return "greeted" if client.recv(1) else "closed"
    except ConnectionRefusedError:
        return "refused"
    except ConnectionResetError:
        return "connected, and cut off"
    except TimeoutError:
        return "connected, and not greeted"


def says():
    """What it says of itself on a connection that was open before."""
    try:
        with kept.cursor() as cursor:
            cursor.execute("SELECT MEMBER_STATE FROM performance_schema.replication_group_members WHERE MEMBER_ID = @@server_uuid")
            return cursor.fetchall()[0][0]
    except pymysql.Error:
        return "nothing"


ask(3, "SHUTDOWN")
asked = time.monotonic()
seen = {}
while time.monotonic() - asked < 30:
    found = (tries(), says())
    first, _ = seen.get(found, (time.monotonic() - asked, None))
    seen[found] = (first, time.monotonic() - asked)
    if found[0] == "refused":
        break
for (client, member), (first, last) in seen.items():
    print(f"{first:.1f} to {last:.1f} s after SHUTDOWN: a new client is {client}; the server says {member}")
waited = [last - first for (client, _), (first, last) in seen.items() if client == "connected, and not greeted"]
sys.exit(0 if sum(waited) > 1 else "CHANGED")
PY
echo "as expected"
