//! What is to come of faults: strangers, ARP, and what is done to the VIP and its interface.

use super::{NEW, Outcome, SAME, row};

/// In the order of the page.
pub(super) const ROWS: &[Outcome] = &[
    row(
        &["stranger_claims_the_vip"],
        "a machine that is no member says by gratuitous ARP that the VIP is its own",
        SAME,
        "milliseconds: until the holder, proven anew, says the contrary; a client's lost packet is repeated by TCP",
        "the holder defends what it has proven to be its own, at most 10 times a second",
    ),
    row(
        &["stranger_has_the_vip"],
        "a machine that is no member has the VIP on its interface, and answers for it",
        "the same host, untouched; who asks anew may reach the stranger for a moment",
        "about 1 s for a client that has just asked anew and believed the stranger, 3.3 s where it was the first that the stranger did; none for others",
        "only the client hears the stranger's answer. The holder asks the network at each renewal, and hears the stranger then; from then on it announces each second until 10 s after the last word of the stranger",
    ),
    row(
        &["arp_cache_of_a_client_poisoned"],
        "a client alone is told by ARP that the VIP is at the MAC of another host",
        SAME,
        "for that client: until its own kernel no longer trusts the entry (20–50 s), or the holder's next announcement (`announce_interval`, 60 s)",
        "nobody but the client can hear it; its kernel asks the wrong MAC, gets no answer, and asks all",
    ),
    row(
        &["vip_added_with_another_prefix"],
        "somebody adds the VIP to its holder once more, with another prefix",
        SAME,
        "never; the copy is gone within 0.2 s",
        "it has no lease, and would stay when the VIP leaves; the lease is renewed first, and so the VIP is never away",
    ),
    row(
        &["vip_with_a_network_of_its_own"],
        "the VIP is written as /24 (`vip = \"10.77.0.100/24\"`): where it would go away with the host's own address; by reload; a switchover; and the holder's own address is removed and put back, so that the VIP comes before it",
        "refused, the same host; the same host; the new primary; the same host, again",
        "never by reload, else as ever",
        "no route comes with it, and it is put behind the host's own address, which stays the source of what the host sends",
    ),
    row(
        &["vips_with_other_gateways"],
        "the cluster's gateway is lost; another VIP has a gateway of its own, a third has none (`gateway = \"none\"`)",
        "nobody has the cluster's; the others: the same host, untouched",
        "the cluster's: from 4 to 5.3 s after the loss until the gateway answers again; the others: never",
        "each VIP goes by the gateway that it has (docs/vips.md)",
    ),
    row(
        &["vip_on_an_interface_of_its_own"],
        "a second VIP is on another interface (`interface = \"eth1\"`), which comes later than its configuration; switchovers; that interface is set down on the holder for 2 s, and up",
        "nobody, until it is there; the new primary, with the first VIP; nobody; the same host, again. The first VIP: the same host, untouched",
        "as long as the interface is away, and some 0.1 s; in a switchover as the first VIP",
        "each agent says on that interface which member it is, so that a claim is yielded to as a member's; the interface is of stage 1 for that VIP alone, and only the primary's host is entitled to it",
    ),
    row(
        &["vip_on_a_virtual_interface"],
        "that VIP on a VLAN of the second interface (eth1.5), and on a bond over it, as far as the kernel has them; a switchover; that interface is set down and up",
        "the new primary; nobody; the same host, again",
        "as above",
        "as above: what carries Ethernet frames will do",
    ),
    row(
        &["holders_interface_made_anew"],
        "the holder's interface is deleted and made anew",
        "the same host, again",
        "about 0.1 s after the interface is there again with the member's own address",
        "told by the kernel; the network is asked before the VIP is put back",
    ),
    row(
        &["holders_addresses_flushed"],
        "every address of the holder's interface is flushed, and its own put back (a network service's restart)",
        "the same host, again",
        "about 0.1 s after the member's own address is there again",
        "as above; a host without a member's address is none",
    ),
    row(
        &["holders_interface_set_down_and_up"],
        "the holder's interface is set down and up",
        SAME,
        "never; writes go on when the interface is up",
        "an address outlives that; the group waits 5 s, the gateway counts as lost after 4 s",
    ),
    row(
        &["30_percent_of_frames_lost"],
        "30 % of all frames are lost, while switchovers are done",
        NEW,
        "seconds: TCP's own repetitions",
        "more probes where loss is seen; a stale holder yields to the first announcement that it hears",
    ),
];
