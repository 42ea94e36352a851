#!/bin/bash
# MySQL 9.7.4: a primary that is being shut down goes on saying that it is ONLINE and PRIMARY after the others have elected another.
#
# Group Replication leaves the group early in the shutdown, the others elect a new primary within a second, and the old server's own tables say
# "ONLINE, PRIMARY, three members" to connections that are still open, until its process ends. In between two servers say that they lead. Whoever asks each
# server for itself (a health check for each host) sends clients to both; the view's number tells which is right (haipmgr's NEWEST-VIEW).
#
# Needs what group/three-servers.sh says; takes a minute. Seen: both say PRIMARY for seconds (2.6 s in the first run).
. "$(dirname "$0")/group/three-servers.sh"
three_servers <<'PY'
import sys, time
import pymysql
import group
from group import ask, connect, members, wait_for

group.form()
print("version:", ask(1, "SELECT @@version")[0][0])
# Open before, as a monitor's or a pool's connection is.
old = connect(1)
ask(1, "SHUTDOWN")
wait_for(lambda: members(2).get(2, members(2).get(3))[1] == "PRIMARY" or members(3).get(3, ("", ""))[1] == "PRIMARY", 20, 0.01)
elected = time.monotonic()
new = [(number, role) for number, (state, role) in members(2).items() if role == "PRIMARY"]
said, last = None, None
try:
    while True:
        with old.cursor() as cursor:
            cursor.execute(group.MEMBERS)
            said = cursor.fetchall()
        if (1, "ONLINE", "PRIMARY") in [(int(a), b, c) for a, b, c in said]:
            last = time.monotonic() - elected
        time.sleep(0.02)
except pymysql.Error:
    pass
print(f"the others' primary: {new}; the old server's last word of itself: {said}")
print(f"it said ONLINE, PRIMARY for {last or 0:.1f} s after the others had another")
sys.exit(0 if new and new[0][0] != 1 and last and last > 0.5 else "CHANGED")
PY
echo "as expected"
