#!/bin/bash
# Linux 6.18: to list the TCP connections of one address (sock_diag, as ss does) takes as long as the kernel's hash of connections is large, however few
# connections there are and whatever the filter says. The hash grows with the machine's memory.
#
# A dump looks into every bucket: a millisecond for 262,144 buckets (24 GB of memory) without a single connection, for each of the two address families, and
# ten times as long on a busy machine. What waits for the list in the path of a failover waits as long: an address should be removed before the list is
# made. haipmgr's holder waited so when it yielded; it does not any more (docs/protocol.md, "Yield").
#
# Shown in network namespaces, which share the machine's hash unless net.ipv4.tcp_child_ehash_entries (Linux 6.1) gives those made in one a small hash of their
# own: the same question there is answered many times faster. Needs root, unshare, Python 3 with pip; takes seconds. Nothing is installed on the machine.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$folder/python" 'pyroute2==0.9.5'
cat >"$folder/list.py" <<'PY'
import socket, statistics, sys, time
from pyroute2 import DiagSocket

def lists():
    """Milliseconds that listing takes, both families; and how many connections there are."""
    found = 0
    with DiagSocket() as diag:
        diag.bind()
        times = []
        for _ in range(15):
            begun = time.perf_counter()
            found = sum(len(list(diag.get_sock_stats(family=family))) for family in (socket.AF_INET, socket.AF_INET6))
            times.append((time.perf_counter() - begun) * 1000)
    return statistics.median(times), found

buckets = open("/proc/sys/net/ipv4/tcp_ehash_entries").read().strip()
took, found = lists()
print(f"{buckets} {found} {took:.3f}")
PY
run() { PYTHONPATH=$folder/python PYTHONDONTWRITEBYTECODE=1 "$@" python3 "$folder/list.py"; }
shared=$(run unshare --net)
own=$(run unshare --net sh -c 'echo 1024 >/proc/sys/net/ipv4/tcp_child_ehash_entries; exec unshare --net "$@"' sh)
uname -r
echo "the machine's hash, of so many buckets, connections, milliseconds for a list: $shared"
echo "a hash of its own: $own"
awk -v shared="$shared" -v own="$own" 'BEGIN {
    split(shared, one, " "); split(own, other, " ")
    # Negative: the hash is that of the machine.
    if (one[1] > 0 || other[1] != 1024 || one[2] != 0 || other[2] != 0 || one[3] < 2 * other[3]) { print "CHANGED"; exit 1 }
}'
echo "as expected"
