#!/bin/bash
# MySQL 9.7.4: group_replication_member_expel_timeout = 5 expels a dead member after 21 s, and setting it to its own value does so at once.
#
# By the manual a member that is silent is suspected after 5 s, and expelled when the expel timeout (default 5 s) has passed too: 10 s. But the
# thread that expels looks every 15 s, unless it is woken, and the suspicion is younger than the timeout when it is woken by the suspicion itself. Nothing
# in the manual says so. Any SET GLOBAL of the variable wakes it, also to the value that it has: the member is gone about a second later.
# haipmgr does just that (docs/failover-time.md).
#
# Needs what group/three-servers.sh says; takes two minutes. Seen, in seconds after kill -9 of a secondary:
#   left alone: UNREACHABLE after 5.4, gone after 21.5 | set to its own value 5 s after UNREACHABLE: gone 0.9 after that
. "$(dirname "$0")/group/three-servers.sh"
three_servers <<'PY'
import os, signal, sys, time
import group
from group import ask, members, wait_for

TIMEOUT = "group_replication_member_expel_timeout"

def killed():
    began = time.monotonic()
    os.kill(group.processes[3].pid, signal.SIGKILL)
    group.processes[3].wait()
    wait_for(lambda: members(1)[3][0] == "UNREACHABLE", 10)
    return began, time.monotonic()

def back():
    group.start(3)
    ask(3, "START GROUP_REPLICATION")
    wait_for(lambda: all(state == "ONLINE" for state, _ in members(1).values()) and len(members(1)) == 3, 90)

group.form()
value = ask(1, f"SELECT @@version, @@GLOBAL.{TIMEOUT}")[0]
print("version, expel timeout:", *value)
began, unreachable = killed()
wait_for(lambda: 3 not in members(1), 60)
alone = time.monotonic() - began
print(f"left alone: UNREACHABLE after {unreachable - began:.1f} s, gone after {alone:.1f} s")
back()
began, unreachable = killed()
# A little more than the timeout, on both members: only one of them expels, and nothing says which.
time.sleep(5.5)
still = 3 in members(1)
woken = time.monotonic()
for number in (1, 2):
    ask(number, f"SET GLOBAL {TIMEOUT} = {value[1]}")
wait_for(lambda: 3 not in members(1), 60)
after = time.monotonic() - woken
print(f"5.5 s after UNREACHABLE it is {'still a member' if still else 'gone'}; gone {after:.1f} s after SET GLOBAL {TIMEOUT} = {value[1]}, its own value")
sys.exit(0 if value[1] == 5 and alone > 16 and still and after < 3 else "CHANGED")
PY
echo "as expected"
