//! Who has which address on the segment, asked by ARP or neighbor discovery: the VIP's holder, the gateway. The questions are those of any host that wants
//! to speak to an address, from this member's own: they claim nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use linux::neighbor_socket::NeighborListener;
use tokio::time::{Instant, timeout_at};
use wire::{Family, Mac, NeighborMessage};

use super::line::Line;
use crate::observe::interface_address;

/// A frame may get lost: so often is asked.
const ROUNDS: u32 = 3;
/// How long answers are waited for after each question.
const WAIT: Duration = Duration::from_millis(150);
/// … where a member is known by its agent's word alone.
const WAIT_FOR_WORDS: Duration = Duration::from_millis(400);

/// Who answered for which address: nobody, for one that was asked for in vain. What could not be asked for is not among them, for the interface
/// has no address of that family to ask from. An error where this process may not ask.
pub(super) type Answers = Result<BTreeMap<IpAddr, BTreeSet<Mac>>, String>;

/// Asks who has these addresses, of both families. It takes 0.45 s.
pub(super) async fn ask(interface: &str, own: IpAddr, targets: &[IpAddr]) -> Answers {
    let asked = interface_address::askers(interface, Some(own), targets);
    let each = join_all(asked.map(|(asker, targets)| ask_from(interface, asker, targets))).await;
    Ok(each.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

async fn ask_from(interface: &str, asker: IpAddr, targets: Vec<IpAddr>) -> Answers {
    let socket = NeighborListener::open(interface, Family::of(asker)).map_err(|error| error.to_string())?;
    let mut answers = nobody_yet(targets.iter().copied());
    for _ in 0..ROUNDS {
        for target in &targets {
            let question = NeighborMessage::Question { target: *target, asker };
            socket.send(question, None).map_err(|error| error.to_string())?;
        }
        let until = Instant::now() + WAIT;
        while let Ok(received) = timeout_at(until, socket.receive()).await {
            let received = received.map_err(|error| error.to_string())?;
            if let Some(macs) = received.message.sender_address().and_then(|one| answers.get_mut(&one)) {
                macs.insert(received.from);
            }
        }
    }
    Ok(answers)
}

fn nobody_yet(targets: impl Iterator<Item = IpAddr>) -> BTreeMap<IpAddr, BTreeSet<Mac>> {
    targets.map(|target| (target, BTreeSet::new())).collect()
}

/// The same on an interface that no member's address is on, from whichever address it has. It takes 1.2 s: each member's agent says there
/// once a second which it is, and so is among the answers.
pub(super) async fn ask_where_only_vips_are(
    interface: &str,
    members: &[IpAddr],
    targets: &[IpAddr],
) -> Answers {
    let socket = NeighborListener::open(interface, Family::V4).map_err(|error| error.to_string())?;
    let asker = interface_address::ipv4_but(interface, targets)
        .ok_or_else(|| format!("{interface} has no IPv4 address of its own to ask from"))?;
    let mut answers = nobody_yet(targets.iter().copied().filter(IpAddr::is_ipv4));
    for _ in 0..ROUNDS {
        for target in targets.iter().copied().filter(IpAddr::is_ipv4) {
            let question = NeighborMessage::Question { target, asker };
            socket.send(question, None).map_err(|error| error.to_string())?;
        }
        let until = Instant::now() + WAIT_FOR_WORDS;
        while let Ok(received) = timeout_at(until, socket.receive()).await {
            let received = received.map_err(|error| error.to_string())?;
            let said = match received.message {
                NeighborMessage::Word { word, .. } => {
                    word.place().and_then(|place| members.get(place)).copied()
                }
                other => other.sender_address().filter(|one| targets.contains(one)),
            };
            if let Some(address) = said {
                answers.entry(address).or_default().insert(received.from);
            }
        }
    }
    Ok(answers)
}

/// What is known beside that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around<'a> {
    pub(super) own: IpAddr,
    pub(super) members: &'a [IpAddr],
    /// The member that leads; none: not known.
    pub(super) primary: Option<IpAddr>,
    /// An agent for this VIP runs here.
    pub(super) agent_runs: bool,
    /// The VIP is for readers: it is not the primary's.
    pub(super) for_readers: bool,
}

/// Where a VIP is on this host: each interface that has it.
pub(super) type Here<'a> = &'a [String];

/// Whether the VIP is where it should be.
pub(super) fn holder(
    vip: IpAddr,
    here: Here<'_>,
    interface: &str,
    answers: &Answers,
    around: Around<'_>,
) -> Line {
    let name = "vip-holder";
    if let Some(other) = here.iter().find(|one| *one != interface) {
        return Line::problem(
            name,
            format!(
                "{vip} is on {other} of this host: only {interface} may have it, and only the agent may put it there"
            ),
            format!("ip address del {vip}/{} dev {other}", if vip.is_ipv4() { 32 } else { 128 }),
        );
    }
    let answers = match answers {
        Err(why) => return Line::not_looked_at(name, why, "run haipmgr check as root"),
        Ok(answers) => answers,
    };
    let Some(macs) = answers.get(&vip) else {
        return Line::not_looked_at(name, cannot_be_asked(vip, interface), format!("ping -c 1 {vip}"));
    };
    let words = |macs: &BTreeSet<Mac>| macs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if macs.len() + usize::from(!here.is_empty()) > 1 {
        let too = if here.is_empty() { "" } else { " and this host" };
        return Line::problem(
            name,
            format!("{vip} is held more than once: by {}{too}", words(macs)),
            "find the machine that is no member in the switch's MAC table, and remove the address there",
        );
    }
    let holder = match (here.is_empty(), macs.first()) {
        (false, _) => around.own,
        (true, None) => return nobody(vip, around),
        (true, Some(mac)) => {
            let has = |member: &&IpAddr| answers.get(member).is_some_and(|macs| macs.contains(mac));
            match around.members.iter().find(has) {
                Some(member) => *member,
                None => {
                    return Line::problem(
                        name,
                        format!("{vip} is used by {mac}, which is no member's interface"),
                        "find that machine in the switch's MAC table, and remove the address there, or choose another VIP",
                    );
                }
            }
        }
    };
    held_by(vip, holder, around)
}

fn held_by(vip: IpAddr, holder: IpAddr, around: Around<'_>) -> Line {
    let name = "vip-holder";
    if holder == around.own && !around.agent_runs {
        return Line::problem(
            name,
            format!("{vip} is on this host and no agent runs here: nothing moves it"),
            "systemctl start haipmgr",
        );
    }
    match around.primary {
        _ if around.for_readers => Line::ok(name, format!("{vip}, for readers, is on {holder}")),
        Some(primary) if primary != holder => Line::problem(
            name,
            format!("{vip} is on {holder}, and {primary} is the primary"),
            format!("look at the log of haipmgr on {primary}: it says why it does not take the VIP"),
        ),
        _ => Line::ok(name, format!("{vip} is on {holder}")),
    }
}

fn nobody(vip: IpAddr, around: Around<'_>) -> Line {
    let name = "vip-holder";
    match around.primary {
        // Before the first start nobody has it, and that is right.
        Some(_) if around.agent_runs && around.for_readers => Line::advice(
            name,
            format!("nobody answers for {vip}, which is for readers: no member is fit to serve them"),
            "haipmgr status on each member says how fit it is",
        ),
        Some(primary) if around.agent_runs => Line::problem(
            name,
            format!("nobody answers for {vip}, and {primary} is the primary"),
            format!("on {primary}: systemctl start haipmgr; where it runs, its log says which stage fails"),
        ),
        _ => Line::ok(name, format!("{vip} is free")),
    }
}

fn asked_by(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ARP" } else { "neighbor discovery" }
}

fn cannot_be_asked(address: IpAddr, interface: &str) -> String {
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    format!("{interface} has no {family} address to ask for {address} from")
}

/// Whether the gateway answers.
pub(super) fn gateway(gateway: IpAddr, interface: &str, is_the_clusters: bool, answers: &Answers) -> Line {
    let name = "gateway";
    match answers {
        Err(why) => Line::not_looked_at(name, why, "run haipmgr check as root"),
        Ok(answers) if !answers.contains_key(&gateway) => {
            Line::not_looked_at(name, cannot_be_asked(gateway, interface), format!("ping -c 1 {gateway}"))
        }
        Ok(answers) if answers.get(&gateway).is_some_and(|macs| !macs.is_empty()) => {
            Line::ok(name, format!("{gateway} answers"))
        }
        Ok(_) if is_the_clusters => Line::problem(
            name,
            format!(
                "{gateway} does not answer {}: no VIP starts on this host but one with a gateway of its own, or none",
                asked_by(gateway)
            ),
            "gateway = the router of this segment, in the configuration: ip route show default; or mend the router",
        ),
        Ok(_) => Line::problem(
            name,
            format!(
                "{gateway} does not answer {}: no VIP with this gateway starts on this host",
                asked_by(gateway)
            ),
            "gateway = the router of that VIP's clients, in its table [[cluster.vips]], or \"none\"; or mend the router",
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::check::line::Level;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));

    fn at(last: u8) -> IpAddr {
        [10, 77, 0, last].into()
    }

    fn mac(last: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, last])
    }

    /// Members 12 and 13, the gateway, and these for the VIP.
    fn answers(vip: &[u8]) -> BTreeMap<IpAddr, BTreeSet<Mac>> {
        let mut all: BTreeMap<_, _> =
            [12, 13, 254].map(|last| (at(last), BTreeSet::from([mac(last)]))).into();
        all.insert(at(253), BTreeSet::new());
        all.insert(VIP, vip.iter().map(|last| mac(*last)).collect());
        all
    }

    /// Of member 11's host.
    fn judged(here: &[&str], vip: &[u8], primary: Option<u8>, agent_runs: bool) -> Line {
        let members = [11, 12, 13].map(at);
        let around = Around {
            own: at(11),
            members: &members,
            primary: primary.map(at),
            agent_runs,
            for_readers: false,
        };
        let here: Vec<String> = here.iter().map(|one| (*one).to_owned()).collect();
        holder(VIP, &here, "eth0", &Ok(answers(vip)), around)
    }

    #[test]
    fn a_vip_that_is_where_it_should_be_is_well() {
        assert_eq!(judged(&["eth0"], &[], Some(11), true).level, Level::Ok);
        assert_eq!(judged(&[], &[12], Some(12), true).says, "10.77.0.100 is on 10.77.0.12");
        assert_eq!(judged(&[], &[12], None, true).level, Level::Ok);
        for primary in [11, 12] {
            let before_the_first_start = judged(&[], &[], Some(primary), false);
            assert_eq!(before_the_first_start.says, "10.77.0.100 is free");
        }
        assert_eq!(judged(&[], &[], None, true).level, Level::Ok);
    }

    #[test]
    fn a_reader_vip_is_not_the_primarys() {
        let members = [11, 12, 13].map(at);
        let around = Around {
            own: at(11),
            members: &members,
            primary: Some(at(11)),
            agent_runs: true,
            for_readers: true,
        };
        let judged = |vip: &[u8]| holder(VIP, &[], "eth0", &Ok(answers(vip)), around);
        assert_eq!(judged(&[12]).says, "10.77.0.100, for readers, is on 10.77.0.12");
        assert_eq!((judged(&[12]).level, judged(&[]).level), (Level::Ok, Level::Advice));
        assert_eq!(judged(&[12, 13]).level, Level::Problem);
    }

    #[test]
    fn a_vip_that_is_somewhere_else_is_named_with_where() {
        for (here, vip, primary, agent_runs, words) in [
            (&["lo"][..], &[][..], Some(11), true, "is on lo of this host"),
            (&["eth0"], &[12], Some(11), true, "more than once: by 02:00:00:00:00:0c and this host"),
            (&[], &[12, 77], Some(12), true, "more than once"),
            (&[], &[77], Some(12), true, "02:00:00:00:00:4d, which is no member's interface"),
            (&[], &[13], Some(12), true, "is on 10.77.0.13, and 10.77.0.12 is the primary"),
            (&["eth0"], &[], Some(12), true, "is on 10.77.0.11, and 10.77.0.12 is the primary"),
            (&["eth0"], &[], Some(11), false, "no agent runs here"),
            (&[], &[], Some(11), true, "nobody answers"),
            (&[], &[], Some(12), true, "nobody answers"),
        ] {
            let line = judged(here, vip, primary, agent_runs);
            assert_eq!((line.name, line.level), ("vip-holder", Level::Problem), "{line}");
            assert!(line.says.contains(words), "{line}");
        }
    }

    #[test]
    fn without_the_right_to_ask_nothing_is_said_to_be_well() {
        let members = [at(11)];
        let around =
            Around { own: at(11), members: &members, primary: None, agent_runs: true, for_readers: false };
        let refused: Answers = Err("CAP_NET_RAW is missing".to_owned());
        for line in [holder(VIP, &[], "eth0", &refused, around), gateway(at(254), "eth0", true, &refused)] {
            assert_eq!(line.level, Level::Advice);
            assert!(line.says.contains("not looked at"), "{line}");
        }
    }

    #[test]
    fn what_the_interface_has_no_address_to_ask_from_for_is_not_said_to_be_free() {
        let (vip, members) = ("fd77::100".parse().unwrap(), [at(11)]);
        let around =
            Around { own: at(11), members: &members, primary: None, agent_runs: false, for_readers: false };
        for line in [
            holder(vip, &[], "eth0", &Ok(answers(&[])), around),
            gateway(vip, "eth0", true, &Ok(answers(&[]))),
        ] {
            assert_eq!(line.level, Level::Advice);
            assert!(line.says.contains("eth0 has no IPv6 address to ask for fd77::100 from"), "{line}");
        }
    }

    #[test]
    fn a_silent_gateway_is_named() {
        let answers = Ok(answers(&[]));
        assert_eq!(gateway(at(254), "eth0", true, &answers).level, Level::Ok);
        assert_eq!(gateway(at(253), "eth0", true, &answers).level, Level::Problem);
        let own = gateway(at(253), "eth0", false, &answers);
        assert_eq!(own.level, Level::Problem);
        assert!(own.says.contains("no VIP with this gateway"), "the others may start: {own:?}");
    }
}
