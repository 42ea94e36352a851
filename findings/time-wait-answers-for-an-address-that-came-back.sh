#!/bin/bash
# Linux 6.18: an address leaves a host and comes back within a minute, and a client waits for its own time-out where it should be reset.
#
# The host's server had ended a connection first, so that its kernel remembers both ends for a minute (TIME_WAIT), and the client's kernel does not. The client
# uses the same port for a connection to the host that has the address meanwhile. When the address is back, the first host knows nothing of that connection and
# would reset it; instead it answers each segment with an ACK of the old connection's numbers, which tells the client nothing. Removing the address does not end
# what is in TIME_WAIT, and adding it again does not either. Whoever moves addresses between hosts, and counts on "the new host resets what it does not know",
# meets this with clients that connect anew for each question: on a real MySQL group five times in 32 moves there and back.
#
# haipmgr has the kernel forget them when an address leaves (SOCK_DESTROY; docs/protocol.md, "A port that is used again").
#
# Needs root and Python 3 with pip; all traffic stays in network namespaces of its own; takes seconds. Nothing is installed on the machine.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --target "$folder/python" 'pyroute2==0.9.5'
cat >"$folder/there_and_back.py" <<'PY'
import ctypes, os, socket, sys
from contextlib import contextmanager
from pyroute2 import IPRoute

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
ADDRESS, PORT = "10.9.0.100", 3306

def checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "namespace")

def here():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)

checked(libc.unshare(CLONE_NEWNET))
switch = here()
with IPRoute() as ip:
    ip.link("add", ifname="br0", kind="bridge")
    ip.link("set", index=ip.link_lookup(ifname="br0")[0], state="up")

@contextmanager
def within(namespace):
    checked(libc.setns(namespace, CLONE_NEWNET))
    try:
        with IPRoute() as ip:
            yield ip
    finally:
        checked(libc.setns(switch, CLONE_NEWNET))

class Host:
    def __init__(self, name, address):
        checked(libc.unshare(CLONE_NEWNET))
        self.namespace = here()
        checked(libc.setns(switch, CLONE_NEWNET))
        with IPRoute() as ip:
            ip.link("add", ifname=name, kind="veth", peer={"ifname": "eth0", "net_ns_fd": self.namespace})
            ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up", master=ip.link_lookup(ifname="br0")[0])
        with within(self.namespace) as ip:
            self.index = ip.link_lookup(ifname="eth0")[0]
            ip.link("set", index=self.index, state="up")
            ip.addr("add", index=self.index, address=address, prefixlen=24)
            self.mac = ip.get_links(self.index)[0].get_attr("IFLA_ADDRESS")

    def socket(self):
        with within(self.namespace):
            made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.settimeout(2)
        return made

    def listen(self):
        self.listener = self.socket()
        self.listener.bind(("0.0.0.0", PORT))
        self.listener.listen()

first, second, client = Host("first", "10.9.0.1"), Host("second", "10.9.0.2"), Host("client", "10.9.0.9")
first.listen()
second.listen()

def moves(to, away=None):
    if away:
        with within(away.namespace) as ip:
            ip.addr("del", index=away.index, address=ADDRESS, prefixlen=32)
    with within(to.namespace) as ip:
        ip.addr("add", index=to.index, address=ADDRESS, prefixlen=32)
    with within(client.namespace) as ip:
        ip.neigh("replace", dst=ADDRESS, lladdr=to.mac, ifindex=client.index, state="permanent")

def connects(port, to):
    end = client.socket()
    end.bind(("10.9.0.9", port))
    end.connect((ADDRESS, PORT))
    return end, to.listener.accept()[0]

def told(end):
    """What the client gets that goes on with its connection."""
    end.settimeout(1.5)
    try:
        end.send(b"?")
        return f"read {end.recv(1)!r}"
    except TimeoutError:
        return "nothing"
    except ConnectionResetError:
        return "reset"

moves(first)
end, served = connects(40000, first)
served.close()
assert end.recv(1) == b""
end.close()
moves(second, away=first)
used_again, _kept = connects(40000, second)
new, _kept_too = connects(40001, second)
moves(first, away=second)
print(f"a port of its own: {told(new)}; a port that is used again: {told(used_again)}")
PY
uname -r
said=$(PYTHONPATH=$folder/python PYTHONDONTWRITEBYTECODE=1 python3 "$folder/there_and_back.py")
echo "$said"
[ "$said" = "a port of its own: reset; a port that is used again: nothing" ] || { echo CHANGED; exit 1; }
echo "as expected"
