#!/bin/bash
# How to renew an address only where it is there, in one breath with looking: what this kernel does.
#
# Linux adds what is gone on RTM_NEWADDR with NLM_F_REPLACE, also without NLM_F_CREATE (inet_rtm_newaddr says that userspace
# relies on it). With IFA_F_MCAUTOJOIN among the flags of a unicast address it renews what is there, and fails with EINVAL
# where it would have to add: only what is added joins a multicast group. haipmgr renews leases so (act/address.rs).
#
# Needs root and python3; installs nothing, changes nothing outside a network namespace of its own. Fails if the kernel does
# otherwise. Seen on Linux 6.18:
#   IPv4: replace, gone -> added | renewal, gone -> EINVAL | renewal, there -> renewed | flags unchanged | start, there -> EEXIST
#   IPv6: replace, gone -> added | renewal, gone -> EINVAL | renewal, there -> renewed | can be deleted   | start, there -> EEXIST
set -euo pipefail
uname -sr
exec unshare -n python3 - <<'PY'
import errno, socket, struct, sys

NEWADDR, DELADDR, GETADDR = 20, 21, 22
REQUEST, ACK, DUMP, REPLACE, EXCL, CREATE = 1, 4, 0x300, 0x100, 0x200, 0x400
LOCAL, ADDRESS, CACHEINFO, FLAGS = 2, 1, 6, 8
NODAD, MCAUTOJOIN, PERMANENT = 0x02, 0x400, 0x80
LO = 1
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
netlink.bind((0, 0))
serial = 0

def attribute(kind, value):
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)

def ask(kind, flags, body):
    global serial
    serial += 1
    netlink.send(struct.pack("IHHII", 16 + len(body), kind, REQUEST | flags, serial, 0) + body)

def order(kind, flags, family, prefix, address, seconds, ifa_flags):
    body = struct.pack("BBBBI", family, prefix, 0, 0, LO) + attribute(LOCAL, address) + attribute(ADDRESS, address)
    if kind == NEWADDR:
        body += attribute(CACHEINFO, struct.pack("IIII", seconds, seconds, 0, 0))
        if ifa_flags:
            body += attribute(FLAGS, struct.pack("I", ifa_flags))
    ask(kind, ACK | flags, body)
    answer = netlink.recv(65536)
    return -struct.unpack_from("i", answer, 16)[0]

def shown(family, wanted):
    """Lifetime and flags of the address, None where it is not there."""
    ask(GETADDR, DUMP, struct.pack("BBBBI", family, 0, 0, 0, 0))
    found, over = None, False
    while not over:
        data, at = netlink.recv(65536), 0
        while at < len(data):
            length, kind = struct.unpack_from("IH", data, at)
            if kind == 3:
                over = True
                break
            attributes, place = {}, at + 24
            while place + 4 <= at + length:
                size, name = struct.unpack_from("HH", data, place)
                attributes[name] = data[place + 4:place + size]
                place += (size + 3) & ~3
            if wanted in (attributes.get(LOCAL), attributes.get(ADDRESS)):
                found = (struct.unpack_from("II", attributes[CACHEINFO])[1], struct.unpack("I", attributes[FLAGS])[0])
            at += (length + 3) & ~3
    return found

def expect(what, seen, wanted):
    name = errno.errorcode.get(seen, seen) if what.endswith("errno") and seen else seen
    print(f"  {what}: {name}")
    if seen != wanted:
        sys.exit(f"CHANGED: {what} is {seen}, and was {wanted}: read act/address.rs again")

for family, text, prefix, own in [(socket.AF_INET, "10.77.0.100", 32, 0), (socket.AF_INET6, "fd77::100", 128, NODAD)]:
    address = socket.inet_pton(family, text)
    print(text)
    expect("NLM_F_REPLACE of what is gone, errno", order(NEWADDR, REPLACE, family, prefix, address, 30, own), 0)
    expect("  it is there", shown(family, address) is not None, True)
    expect("removal, errno", order(DELADDR, 0, family, prefix, address, 0, 0), 0)
    expect("renewal with IFA_F_MCAUTOJOIN of what is gone, errno", order(NEWADDR, REPLACE, family, prefix, address, 30, own | MCAUTOJOIN), errno.EINVAL)
    expect("  it is there", shown(family, address) is not None, False)
    expect("start (CREATE, EXCL), errno", order(NEWADDR, CREATE | EXCL, family, prefix, address, 30, own), 0)
    before = shown(family, address)
    expect("start of what is there, errno", order(NEWADDR, CREATE | EXCL, family, prefix, address, 900, own), errno.EEXIST)
    expect("  its lifetime is as before", shown(family, address)[0] <= 30, True)
    expect("renewal with IFA_F_MCAUTOJOIN of what is there, errno", order(NEWADDR, REPLACE, family, prefix, address, 900, own | MCAUTOJOIN), 0)
    lifetime, flags = shown(family, address)
    expect("  its lifetime is the new one", 890 < lifetime <= 900, True)
    expect("  the flag stays with it", bool(flags & MCAUTOJOIN), family == socket.AF_INET6)
    expect("renewal for ever, errno", order(NEWADDR, REPLACE, family, prefix, address, 0xFFFFFFFF, own | MCAUTOJOIN), 0)
    expect("  it is permanent", bool(shown(family, address)[1] & PERMANENT), True)
    expect("removal, errno", order(DELADDR, 0, family, prefix, address, 0, 0), 0)
    expect("  it is there", shown(family, address) is not None, False)
print("as expected")
PY
