#!/bin/bash
# MySQL 9.7.4: group_replication_ssl_mode is REQUIRED where no option says otherwise; the manual until 9.5, and 8.4's servers, say DISABLED. A member of the
# one kind does not join a group of the other, in either direction, and nobody says that TLS is the cause.
#
# So a rolling upgrade from 8.4 whose option files say nothing about it stops at the first upgraded member: START GROUP_REPLICATION waits for a minute, ends
# with error 3092, and the joining server's error log tells of peers that can't be connected to, like a wrong address or a firewall. The member that it
# tries to join logs nothing at all. Write one value into every option file before the upgrade (haipmgr's docs/versions.md).
#
# Needs what group/three-servers.sh says; two servers, some two minutes. Seen: by default REQUIRED; REQUIRED and DISABLED: 3092; DISABLED and REQUIRED: 3092;
#   the word SSL or TLS in neither log; with one value on both, whichever: ONLINE.
. "$(dirname "$0")/group/three-servers.sh"
three_servers <<'PY'
import shutil, sys
import pymysql
import group
from group import ROOT, ask, members, start, wait_for

RECOVERY = "CHANGE REPLICATION SOURCE TO SOURCE_USER='r', SOURCE_PASSWORD='r-Secret1' FOR CHANNEL 'group_replication_recovery'"

def join(number, mode):
    """ONLINE, or the number of START GROUP_REPLICATION's error."""
    try:
        ask(number, f"SET GLOBAL group_replication_ssl_mode = {mode}", RECOVERY, "START GROUP_REPLICATION")
    except pymysql.Error as error:
        return error.args[0]
    wait_for(lambda: members(number).get(number, ("",))[0] == "ONLINE", 60)
    return "ONLINE"

def log(number):
    return (ROOT / f"data/{number}.err").read_text(errors="replace")

def of_two(first, second):
    """Server 1 is a group of one with the first mode; how server 2 with the second comes into it, and what both log meanwhile."""
    ask(1, "SET GLOBAL group_replication_bootstrap_group = ON")
    join(1, first)
    ask(1, "SET GLOBAL group_replication_bootstrap_group = OFF")
    before = {number: len(log(number)) for number in (1, 2)}
    outcome = join(2, second)
    said = {number: [line for line in log(number)[before[number]:].splitlines() if "[ERROR]" in line] for number in (1, 2)}
    for number in (2, 1):
        ask(number, "STOP GROUP_REPLICATION")
    named = any(word in line for lines in said.values() for line in lines for word in ("SSL", "TLS"))
    print(f"{first} and {second}: {outcome}; errors logged by the member {len(said[1])}, by who joins {len(said[2])}; SSL or TLS named: {named}")
    if said[2]:
        print(f"  {said[2][0].split(': ', 1)[-1]}")
    return outcome, len(said[1]), named

group.initialize()
shutil.copytree(ROOT / "data/1", ROOT / "data/2")
(ROOT / "data/2/auto.cnf").unlink()
start(1)
start(2)
version, by_default = ask(1, "SELECT @@version, @@group_replication_ssl_mode")[0]
print(f"version: {version}; by default: {by_default}")
seen = [of_two("REQUIRED", "DISABLED"), of_two("DISABLED", "REQUIRED"), of_two("DISABLED", "DISABLED")[0], of_two("REQUIRED", "REQUIRED")[0]]
sys.exit(0 if by_default == "REQUIRED" and seen == [(3092, 0, False)] * 2 + ["ONLINE"] * 2 else "CHANGED")
PY
echo "as expected"
