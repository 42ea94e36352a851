//! Messages: what an agent's orders do to the world, what they ask and who answers, and in which order it reaches an agent.

use decide::input::Says;

use super::agent::Act;
use super::normal::NOW;
use super::world::{Answer, Host, Mail, Place, Process, STRANGER, Shows, What, World};

/// A server that blocks is given up after so many ticks; another member's, or one that can't be reached, sooner.
const OWN_LIMIT: u8 = 3;
const PEER_LIMIT: u8 = 2;
/// A host that is cut off calls its gateway lost after so many ticks.
const GATEWAY_LOST_AFTER: u8 = 3;
/// Frames of one host that wait for an agent that stands still; equal ones in a row are one.
const WAITING_FRAMES: usize = 3;

/// A frame about the VIP.
pub(super) fn is_frame(mail: Mail) -> bool {
    matches!(mail.what, What::Frame(..))
}

/// Carries out what an agent decided; hands back what it reads at once.
pub(super) fn act_on(world: &mut World, place: Place, act: Act) -> Option<What> {
    let own = usize::from(place);
    match act {
        Act::AskServer => ask_server(&mut world.hosts[own]),
        Act::AskGateway => return Some(What::Gateway(gateway_answers(&world.hosts[own]))),
        Act::AskHost => return Some(What::Addresses),
        Act::Learn => {
            let heard = world
                .places()
                .filter(|other| world.reach(place, *other))
                .fold(0, |all, other| all | (1 << other));
            return (heard != 0).then_some(What::Neighbors(heard));
        }
        Act::AskPeer(peer) => {
            let answer = if world.reach(place, peer) {
                answer(&world.hosts[usize::from(peer)])
            } else {
                Answer::Unreachable
            };
            let due = if matches!(answer, Answer::Unreachable | Answer::TimedOut) { PEER_LIMIT } else { 0 };
            put(&mut world.hosts[own], Mail { due, age: 0, what: What::Peer(peer, answer) });
        }
        Act::SayMember(says) => {
            for other in world.places().filter(|other| world.hear(place, *other)).collect::<Vec<_>>() {
                if world.hosts[usize::from(other)].vip.is_some() {
                    frame(&mut world.hosts[own], other, Says::Reply);
                }
                frame(&mut world.hosts[usize::from(other)], place, Says::Member(says));
            }
        }
        Act::Probe => {
            for other in world.places().filter(|other| world.hear(place, *other)).collect::<Vec<_>>() {
                if world.hosts[usize::from(other)].vip.is_some() {
                    frame(&mut world.hosts[own], other, Says::Reply);
                }
                frame(&mut world.hosts[usize::from(other)], place, Says::Probe);
            }
            answer_for_others(world, place);
        }
        Act::AnnounceRelease(to) => {
            for other in world.places().filter(|other| world.hear(place, *other)).collect::<Vec<_>>() {
                let says =
                    if to == Some(other) { Says::Release { heard_at: NOW } } else { Says::ReleaseToOthers };
                frame(&mut world.hosts[usize::from(other)], place, says);
            }
        }
        Act::Announce => {
            for other in world.places().filter(|other| world.hear(place, *other)).collect::<Vec<_>>() {
                frame(&mut world.hosts[usize::from(other)], place, Says::Announcement);
            }
        }
        Act::Add(lifetime) => {
            let host = &mut world.hosts[own];
            if host.vip.replace(lifetime).is_none() {
                put(host, Mail { due: 0, age: 0, what: What::Addresses });
            }
        }
        Act::Renew(lifetime) => world.hosts[own].vip = Some(lifetime),
        Act::Remove => remove(&mut world.hosts[own]),
        Act::Poll(every) => {
            let host = &mut world.hosts[own];
            host.poll = (host.poll.0.min(every), every);
        }
    }
    None
}

/// A probe is answered by those who are no members: a stranger that has the VIP, a segment that answers for others.
fn answer_for_others(world: &mut World, asks: Place) {
    if !world.is_on_segment(asks) {
        return;
    }
    let (stranger, cached) = (world.stranger, world.announced_by.filter(|_| world.switch_answers));
    let host = &mut world.hosts[usize::from(asks)];
    if stranger.is_some() {
        frame(host, STRANGER, Says::Reply);
    }
    if let Some(cached) = cached.filter(|cached| *cached != asks) {
        frame(host, cached, Says::Reply);
    }
}

/// A stranger announces the VIP.
pub(super) fn stranger_announces(world: &mut World) {
    for place in world.places().filter(|place| world.is_on_segment(*place)).collect::<Vec<_>>() {
        frame(&mut world.hosts[usize::from(place)], STRANGER, Says::Announcement);
    }
}

/// The VIP leaves a host's kernel.
pub(super) fn remove(host: &mut Host) {
    if host.vip.take().is_some() {
        put(host, Mail { due: 0, age: 0, what: What::Addresses });
    }
}

/// Whether its gateway answers this host.
pub(super) fn gateway_answers(host: &Host) -> bool {
    !host.gateway_lost && host.isolated.is_none_or(|since| since < GATEWAY_LOST_AFTER)
}

/// What a server answers.
fn answer(host: &Host) -> Answer {
    match host.process {
        Process::Answers | Process::Stale if host.occupied => Answer::Occupied,
        Process::Answers | Process::Stale => Answer::Shows(host.shows),
        Process::Blocks | Process::StartedBlocks => Answer::TimedOut,
        Process::Refuses | Process::Starts => Answer::Refused,
        Process::LeftGroup => Answer::NotInGroup,
        Process::StartedOutside => Answer::Outside,
    }
}

/// Its server is asked, unless a question is under way.
pub(super) fn ask_server(host: &mut Host) {
    if host.stuck {
        return;
    }
    if host.asking.0 {
        host.asking.1 = true;
        return;
    }
    host.asking = (true, false);
    if std::mem::take(&mut host.wrong_no) {
        let Shows { members, primary, .. } = host.shows;
        let outnumbered = Shows { unreachable: members & !(1 << primary), ..host.shows };
        // Asked a tick ago: within a tick what a server says is constant, and this is not.
        return put(host, Mail { due: 0, age: 1, what: What::Server(Answer::Shows(outnumbered)) });
    }
    let answer = answer(host);
    let due = if answer == Answer::TimedOut { OWN_LIMIT } else { 0 };
    put(host, Mail { due, age: 0, what: What::Server(answer) });
}

fn frame(host: &mut Host, from: Place, says: Says) {
    let what = What::Frame(from, says);
    let of_the_same = || host.mail.iter().filter(|mail| sender(**mail) == Some(from));
    let again = host.mail.iter().rfind(|mail| is_frame(**mail)).is_some_and(|last| last.what == what);
    if again || of_the_same().count() >= WAITING_FRAMES {
        return;
    }
    let due = of_the_same().next_back().map_or(0, |last| last.due);
    put(host, Mail { due, age: 0, what });
}

/// Whose frame it is.
pub(super) fn sender(mail: Mail) -> Option<Place> {
    match mail.what {
        What::Frame(from, _) => Some(from),
        _ => None,
    }
}

/// Messages of one key in their order, keys in one order.
pub(super) fn put(host: &mut Host, mail: Mail) {
    if host.agent.is_none() {
        return;
    }
    if mail.what == What::Addresses && host.mail.iter().any(|known| known.what == What::Addresses) {
        return;
    }
    let place = host.mail.partition_point(|known| known.what.key() <= mail.what.key());
    host.mail.insert(place, mail);
}

/// A message has arrived, or is lost.
pub(super) fn take(world: &mut World, place: Place, mail: Mail) {
    let mails = &mut world.hosts[usize::from(place)].mail;
    if let Some(index) = mails.iter().position(|known| *known == mail) {
        mails.remove(index);
    }
}
