#!/bin/bash
# MySQL 9.7.4: a member that was in offline mode for a moment hears of one more change of the group's member actions, and of none after it.
#
# group_replication_disable_member_action() and group_replication_enable_member_action() on the primary reach every member. After SET GLOBAL offline_mode = ON
# and OFF again on a secondary, that secondary applies the next change and no later one; its error log says nothing. So an action that was disabled and enabled
# again stays disabled there alone: were it elected, it would stay read-only (mysql_disable_super_read_only_if_primary). STOP and START GROUP_REPLICATION there
# mends it. haipmgr check compares the members (member-action).
#
# Needs what group/three-servers.sh says; takes half a minute.
. "$(dirname "$0")/group/three-servers.sh"
three_servers <<'PY'
import sys, time
import group
from group import ask

ACTION = "('mysql_disable_super_read_only_if_primary', 'AFTER_PRIMARY_ELECTION')"
ENABLED = "SELECT enabled FROM performance_schema.replication_group_member_actions WHERE name = 'mysql_disable_super_read_only_if_primary'"

def switch(word):
    ask(1, f"SELECT group_replication_{word}_member_action{ACTION}")
    # Where it comes it comes within milliseconds.
    time.sleep(1)
    return [int(ask(number, ENABLED)[0][0]) for number in (1, 2, 3)]

group.form()
print("version:", ask(1, "SELECT @@version")[0][0])
before = [switch("disable"), switch("enable")]
ask(2, "SET GLOBAL offline_mode = ON")
time.sleep(1)
ask(2, "SET GLOBAL offline_mode = OFF")
after = [switch("disable"), switch("enable")]
ask(2, "STOP GROUP_REPLICATION")
ask(2, "START GROUP_REPLICATION")
time.sleep(2)
mended = [switch("disable"), switch("enable")]
print(f"enabled on servers 1, 2, 3 after disabling, after enabling: {before}; server 2 was in offline mode: {after}; it has joined anew: {mended}")
whole = [[0, 0, 0], [1, 1, 1]]
sys.exit(0 if before == mended == whole and after == [[0, 0, 0], [1, 0, 1]] else "CHANGED")
PY
echo "as expected"
