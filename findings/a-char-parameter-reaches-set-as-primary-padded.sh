#!/bin/bash
# MySQL 9.7.4: in a procedure with a parameter m CHAR(36), group_replication_set_as_primary(m) finds no such member (error 1123), whatever UUID is given.
#
# A CHAR that a procedure declares (parameter or local variable) reaches a loadable function padded with spaces to its greatest length in bytes: 144 for
# CHAR(36) in utf8mb4. SELECT shows it without, LENGTH() says 36, and trimming by hand is not needed for any built-in function. VARCHAR(36) reaches it as it
# is, and so does CONCAT(m) or LOWER(m); IFNULL(m, '') and (SELECT m) are padded again. The same holds for
# group_replication_switch_to_single_primary_mode and group_replication_set_communication_protocol, whose error quotes the spaces; while
# group_replication_disable_member_action takes the same parameter. A prepared statement with "?" is refused when it is executed ("You need to specify a server
# uuid"), its value bound or not: so the UUID must stand in the statement's text, in a user variable, or in a procedure's VARCHAR.
#
# haipmgr's own procedure haipmgr.make_primary uses CONCAT for that reason.
#
# Needs what group/three-servers.sh says; a group of one server is started. Seen: as the table below says, in this order.
. "$(dirname "$0")/group/three-servers.sh"
three_servers <<'PY'
import sys
import pymysql
import group
from group import ask, members, wait_for

group.one_server()
ask(1, "SET GLOBAL group_replication_bootstrap_group=ON", "START GROUP_REPLICATION", "SET GLOBAL group_replication_bootstrap_group=OFF")
wait_for(lambda: members(1).get(1, ("", ""))[1] == "PRIMARY", 60)
version, uuid = ask(1, "SELECT @@version, @@server_uuid")[0]
print("version:", version)

def outcome(*statements):
    """taken, or the error's number and what it says behind the function's name, without its spaces."""
    try:
        ask(1, *statements)
        return "taken"
    except pymysql.Error as error:
        number, words = error.args
        return f"{number} {' '.join(words.split('; ', 1)[1].split())}"

def in_procedure(kind, expression, function="group_replication_set_as_primary", given=uuid):
    return outcome("DROP PROCEDURE IF EXISTS d.p", f"CREATE PROCEDURE d.p(IN m {kind}) SELECT {function}({expression})", f"CALL d.p('{given}')")

NO_MEMBER = "1123 The requested uuid is not a member of the group."
rows = [
    ("CHAR(36)", in_procedure("CHAR(36)", "m"), NO_MEMBER),
    ("VARCHAR(36)", in_procedure("VARCHAR(36)", "m"), "taken"),
    ("CHAR(36), CONCAT(m)", in_procedure("CHAR(36)", "CONCAT(m)"), "taken"),
    ("CHAR(36), LOWER(m)", in_procedure("CHAR(36)", "LOWER(m)"), "taken"),
    ("CHAR(36), IFNULL(m, '')", in_procedure("CHAR(36)", "IFNULL(m, '')"), NO_MEMBER),
    ("CHAR(36), (SELECT m)", in_procedure("CHAR(36)", "(SELECT m)"), NO_MEMBER),
    ("CHAR(36), switch_to_single_primary_mode", in_procedure("CHAR(36)", "m", "group_replication_switch_to_single_primary_mode"), NO_MEMBER),
    ("CHAR(60), disable_member_action", in_procedure("CHAR(60)", "m, 'AFTER_PRIMARY_ELECTION'", "group_replication_disable_member_action",
                                                     "mysql_disable_super_read_only_if_primary"), "taken"),
    ("prepared, ?", outcome("PREPARE s FROM 'SELECT group_replication_set_as_primary(?)'", f"SET @m = '{uuid}'", "EXECUTE s USING @m"), "1123 Wrong arguments: You need to specify a server uuid."),
]
for what, seen, _ in rows:
    print(f"{what}: {seen}")
try:
    ask(1, "DROP PROCEDURE IF EXISTS d.p", "CREATE PROCEDURE d.p(IN m CHAR(36)) SELECT group_replication_set_communication_protocol(m)", "CALL d.p('8.0.27')")
    spaces = None
except pymysql.Error as error:
    spaces = error.args[1].split("'")[4]
print(f"what set_communication_protocol got of CHAR(36) '8.0.27': {len(spaces or '')} characters before the message is cut off")
as_seen = all(seen == expected for _, seen, expected in rows) and spaces and len(spaces) > 36
sys.exit(0 if as_seen else "CHANGED")
PY
echo "as expected"
