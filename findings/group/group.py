"""Three MySQL servers on loopback as one group, for findings: started from empty disks by the steps of MySQL's manual."""

import os
import pathlib
import shutil
import subprocess
import time

import pymysql

ROOT = pathlib.Path(os.environ["FINDING_ROOT"])
NUMBERS = (1, 2, 3)
MYSQLD = ["chroot", str(ROOT), "/usr/sbin/mysqld"]
RECOVERY = "SET SQL_LOG_BIN=0; CREATE USER r@'%' IDENTIFIED BY 'r-Secret1'; GRANT REPLICATION SLAVE, BACKUP_ADMIN ON *.* TO r@'%';" \
    " CREATE USER root@'127.0.0.1'; GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION; CREATE DATABASE d;" \
    " CREATE TABLE d.t (id INT AUTO_INCREMENT PRIMARY KEY, v INT); SET SQL_LOG_BIN=1"
SEEDS = ",".join(f"127.0.0.1:3322{n}" for n in NUMBERS)

processes = {}


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def start(number, *options):
    """Starts a server and waits until it can be asked."""
    log = open(ROOT / f"data/{number}.err", "ab")
    processes[number] = subprocess.Popen(
        [*MYSQLD, "--no-defaults", "--user=root", f"--server-id={number}", f"--port=3310{number}", f"--datadir=/data/{number}",
         f"--socket=/data/{number}.sock", f"--pid-file=/data/{number}.pid", "--bind-address=127.0.0.1", "--report-host=127.0.0.1",
         "--secure-file-priv=NULL", "--mysqlx=OFF", "--innodb-buffer-pool-size=64M", "--innodb-redo-log-capacity=64M", "--gtid-mode=ON",
         "--enforce-gtid-consistency=ON", "--plugin-load-add=group_replication.so",
         "--loose-group-replication-group-name=4b1b1f6c-9d47-4d0c-8a6b-0b6a4a1f7701", "--loose-group-replication-start-on-boot=OFF",
         f"--loose-group-replication-local-address=127.0.0.1:3322{number}", f"--loose-group-replication-group-seeds={SEEDS}",
         "--loose-group-replication-recovery-get-public-key=ON", *options],
        stdout=log, stderr=log)
    wait_for(lambda: ask(number, "SELECT 1"), 60)


def connect(number):
    """A connection of root's; one second of patience."""
    return pymysql.connect(host="127.0.0.1", port=33100 + number, user="root", autocommit=True, connect_timeout=1, read_timeout=90)


def ask(number, *statements):
    """The rows of the last statement, on a connection of its own."""
    with connect(number) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return cursor.fetchall()


def wait_for(what, seconds, pause=0.05):
    """Asks until there is a true answer, and gives it; errors of a server that is not there yet are none."""
    until = time.monotonic() + seconds
    while True:
        try:
            if answer := what():
                return answer
        except (pymysql.Error, OSError):
            pass
        if time.monotonic() > until:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(pause)


MEMBERS = "SELECT MEMBER_PORT - 33100, MEMBER_STATE, MEMBER_ROLE FROM performance_schema.replication_group_members ORDER BY 1"


def members(number):
    """What a server says of its group: number of the member -> (state, role)."""
    return {int(member): (state, role) for member, state, role in ask(number, MEMBERS)}


def one_server(*options):
    """Server 1 alone, from an empty disk, in no group."""
    initialize()
    start(1, *options)


def initialize():
    run("ip", "link", "set", "lo", "up")
    if not (ROOT / "dev/urandom").exists():
        run("mount", "--rbind", "/dev", str(ROOT / "dev"))
    (ROOT / "data/init.sql").write_text("\n".join(f"{each};" for each in RECOVERY.split("; ")) + "\n")
    run(*MYSQLD, "--no-defaults", "--initialize-insecure", "--user=root", "--datadir=/data/1", "--init-file=/data/init.sql",
        "--innodb-redo-log-capacity=64M", "--mysqlx=OFF")


def form(*options):
    """From empty disks to three members ONLINE; server 1 is the primary."""
    initialize()
    for number in NUMBERS[1:]:
        shutil.copytree(ROOT / "data/1", ROOT / f"data/{number}")
        (ROOT / f"data/{number}/auto.cnf").unlink()
    for number in NUMBERS:
        start(number, *options)
        join = ["CHANGE REPLICATION SOURCE TO SOURCE_USER='r', SOURCE_PASSWORD='r-Secret1' FOR CHANNEL 'group_replication_recovery'",
                "START GROUP_REPLICATION"]
        if number == 1:
            join = ["SET GLOBAL group_replication_bootstrap_group=ON", *join, "SET GLOBAL group_replication_bootstrap_group=OFF"]
        ask(number, *join)
        wait_for(lambda: members(number).get(number, ("",))[0] == "ONLINE", 90)
    wait_for(lambda: all([state for state, _ in members(each).values()] == ["ONLINE"] * 3 for each in NUMBERS), 60)
