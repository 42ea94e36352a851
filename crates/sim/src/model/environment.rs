//! What the world does between two ticks: the group, the servers, and the faults.

use super::agent::LEASE;
use super::configuration::Kind;
use decide::input::ProcessSign;

use super::messages::{put, remove, stranger_announces};
use super::transition::{Model, STOOD_STILL};
use super::world::{Host, Mail, Pending, Place, Process, STRANGER, What, World};

/// A member that is cut off is expelled after so many ticks at the earliest: its agent may stand still just before it misses its
/// gateway, and then only the lease ends its holding.
const EXPELLED_AFTER: u8 = LEASE + 5;

/// A change of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A fault, or an operator's command, at this host.
    Begin(Kind, Place),
    /// It ends there.
    End(Kind, Place),
    /// The group elects, goes on without a member led by the other, or lets its primary take writes.
    Group(Place),
    /// A server learns what the group is.
    Learn(Place),
    /// A server that is out of the group, or on its way out of it, says so: it refuses, or has left, or has no majority.
    Show(Place, Process),
    /// A server cut off from the group shows the others UNREACHABLE.
    Outnumbered(Place),
}

impl Model {
    /// The changes that are possible now.
    pub(super) fn changes(&self, world: &World, push: &mut impl FnMut(Change)) {
        group_changes(world, push);
        self.changes_of_the_segment(world, push);
        for place in world.places() {
            let host = &world.hosts[usize::from(place)];
            for kind in self.configuration.kinds.iter().copied() {
                if kind.is_of_the_segment() {
                    continue;
                }
                if has(kind, host) {
                    push(Change::End(kind, place));
                } else if world.faults > 0 && can_begin(kind, world, place) {
                    push(Change::Begin(kind, place));
                }
            }
            if host.process == Process::Starts {
                push(Change::Show(place, Process::StartedBlocks));
            }
            if matches!(host.process, Process::Starts | Process::StartedBlocks) {
                push(Change::Show(place, Process::StartedOutside));
            }
            let out = !world.group.has(place);
            if host.process == Process::Stale && (out || world.group.pending == Pending::Expel(place, 0)) {
                let cut_off = self
                    .configuration
                    .kinds
                    .iter()
                    .any(|kind| matches!(kind, Kind::GroupCut | Kind::Isolate));
                if cut_off && host.shows.unreachable == 0 {
                    push(Change::Outnumbered(place));
                }
                if out {
                    push(Change::Show(place, Process::LeftGroup));
                    push(Change::Show(place, Process::Refuses));
                }
            }
        }
    }

    fn changes_of_the_segment(&self, world: &World, push: &mut impl FnMut(Change)) {
        for kind in self.configuration.kinds.iter().copied().filter(|kind| kind.is_of_the_segment()) {
            let (lasts, can_begin) = match kind {
                Kind::Stranger => (world.stranger.is_some(), true),
                Kind::SwitchAnswers => (world.switch_answers, true),
                _ => (false, world.stranger.is_some()),
            };
            if lasts {
                push(Change::End(kind, STRANGER));
            } else if can_begin && world.faults > 0 {
                push(Change::Begin(kind, STRANGER));
            }
        }
    }

    /// Lets it happen.
    pub(super) fn change(&self, world: &mut World, change: Change) {
        match change {
            Change::Begin(kind, _) if kind.is_of_the_segment() => {
                world.faults -= 1;
                begin_on_the_segment(world, kind);
            }
            Change::End(kind, _) if kind.is_of_the_segment() => match kind {
                Kind::Stranger => world.stranger = None,
                _ => world.switch_answers = false,
            },
            Change::Begin(kind, place) => {
                world.faults -= 1;
                self.begin(world, kind, place);
            }
            Change::End(kind, place) => self.end(world, kind, place),
            Change::Group(place) => {
                let group = &mut world.group;
                match group.pending {
                    Pending::Nothing => {}
                    Pending::Elect(_) => {
                        group.primary = place;
                        group.pending = Pending::Writable;
                    }
                    Pending::Expel(out, _) => {
                        group.counter += 1;
                        group.members &= !(1 << out);
                        group.primary = place;
                        group.writable = false;
                        group.pending = Pending::Writable;
                    }
                    Pending::Writable => {
                        // The former primary learns of it when it learns: for a moment two may take writes.
                        group.writable = true;
                        group.yielding = None;
                        group.pending = Pending::Nothing;
                        world.hosts[usize::from(place)].shows.read_only = false;
                    }
                }
            }
            Change::Learn(place) => {
                world.hosts[usize::from(place)].shows = world.group.shown_by(place);
            }
            Change::Show(place, process) => world.hosts[usize::from(place)].process = process,
            Change::Outnumbered(place) => {
                let host = &mut world.hosts[usize::from(place)];
                host.shows.unreachable = host.shows.members & !(1 << place);
            }
        }
    }

    fn begin(&self, world: &mut World, kind: Kind, place: Place) {
        let group = &mut world.group;
        let host = &mut world.hosts[usize::from(place)];
        let leads = group.primary == place;
        match kind {
            Kind::Switchover => begin_switchover(world, place),
            // The roles flip at once; each server shows it when it learns of it.
            Kind::SwitchoverWithBacklog => {
                group.yielding = Some(group.primary);
                group.primary = place;
                group.writable = false;
                group.pending = Pending::Writable;
            }
            Kind::Shutdown => {
                host.process = Process::Stale;
                group.pending = Pending::Expel(place, 0);
            }
            Kind::Kill => {
                host.process = Process::Refuses;
                expel(world, place, 0);
            }
            Kind::StartedAnew => {
                host.process = Process::Refuses;
                put(host, sign(ProcessSign::Ended));
                expel(world, place, 0);
            }
            Kind::Hang => {
                host.process = Process::Blocks;
                expel(world, place, 0);
            }
            Kind::GroupCut => {
                host.process = Process::Stale;
                expel(world, place, 0);
            }
            Kind::Isolate => {
                host.isolated = Some(0);
                if leads && host.process == Process::Answers {
                    host.process = Process::Stale;
                    expel(world, place, EXPELLED_AFTER);
                }
            }
            Kind::PowerOff => {
                host.powered = false;
                host.vip = None;
                end_agent(host);
                expel(world, place, 0);
            }
            Kind::AgentPaused => host.paused = true,
            Kind::OperatorPauses => {
                host.paused_by_operator = true;
                self.tell(world, place, What::OperatorPauses(true), 0);
            }
            Kind::AgentKilled => end_agent(host),
            Kind::AgentStopped => {
                self.stop_agent(world, place);
                end_agent(&mut world.hosts[usize::from(place)]);
            }
            Kind::RemovedByHand => {
                remove(host);
                host.well = 0;
            }
            Kind::GatewayLost => host.gateway_lost = true,
            Kind::InterfaceDown => set_interface_down(host, true),
            Kind::WatcherStuck => host.stuck = true,
            Kind::WrongNo => host.wrong_no = true,
            Kind::Occupied => host.occupied = true,
            Kind::Stranger | Kind::StrangerAnnounces | Kind::SwitchAnswers => {}
        }
    }

    fn end(&self, world: &mut World, kind: Kind, place: Place) {
        let in_group = world.group.has(place);
        let host = &mut world.hosts[usize::from(place)];
        match kind {
            Kind::AgentPaused => {
                host.paused = false;
                let still = std::mem::take(&mut host.still);
                if let (Some(memory), STOOD_STILL..) = (host.agent, still) {
                    host.agent = Some(self.memories().goes_on_after(memory, still));
                }
            }
            // Told before it listens.
            Kind::StartedAnew => {
                host.process = Process::Starts;
                put(host, sign(ProcessSign::MayStart));
            }
            Kind::AgentKilled | Kind::AgentStopped => {
                host.agent = Some(self.newborn());
                host.wake = 1;
                host.poll = (2, 2);
                if host.paused_by_operator {
                    // It is kept on disk, and read before all else.
                    self.tell(world, place, What::OperatorPauses(true), 0);
                }
            }
            Kind::OperatorPauses => {
                host.paused_by_operator = false;
                self.tell(world, place, What::OperatorPauses(false), 0);
            }
            Kind::Isolate => {
                host.isolated = None;
                rejoin(world, place, in_group);
            }
            Kind::Hang => rejoin(world, place, in_group),
            Kind::GatewayLost => host.gateway_lost = false,
            Kind::InterfaceDown => set_interface_down(host, false),
            Kind::WatcherStuck => host.stuck = false,
            Kind::Occupied => host.occupied = false,
            Kind::Switchover
            | Kind::SwitchoverWithBacklog
            | Kind::Shutdown
            | Kind::Kill
            | Kind::GroupCut
            | Kind::PowerOff
            | Kind::RemovedByHand
            | Kind::WrongNo
            | Kind::Stranger
            | Kind::StrangerAnnounces
            | Kind::SwitchAnswers => {}
        }
    }
}

/// Nobody takes writes until the group has elected; the old primary shows that at once.
fn begin_switchover(world: &mut World, to: Place) {
    let group = &mut world.group;
    group.writable = false;
    group.pending = Pending::Elect(to);
    world.hosts[usize::from(group.primary)].shows.read_only = true;
}

fn begin_on_the_segment(world: &mut World, kind: Kind) {
    if kind == Kind::SwitchAnswers {
        world.switch_answers = true;
    } else {
        world.stranger.get_or_insert(0);
        stranger_announces(world);
    }
}

fn group_changes(world: &World, push: &mut impl FnMut(Change)) {
    let group = &world.group;
    let runs = |place: &Place| {
        let host = &world.hosts[usize::from(*place)];
        group.has(*place) && host.powered && host.process == Process::Answers && host.isolated.is_none()
    };
    match group.pending {
        Pending::Nothing => {}
        Pending::Elect(place) => push(Change::Group(place)),
        Pending::Expel(place, wait) => {
            if wait == 0 {
                world
                    .places()
                    .filter(|other| *other != place && runs(other))
                    .for_each(|other| push(Change::Group(other)));
            }
        }
        Pending::Writable => {
            // The roles flip everywhere before what was queued is applied.
            let knows = |place: Place| world.hosts[usize::from(place)].shows == group.shown_by(place);
            if runs(&group.primary) && knows(group.primary) && group.yielding.is_none_or(knows) {
                push(Change::Group(group.primary));
            }
        }
    }
    for place in world.places().filter(runs) {
        if world.hosts[usize::from(place)].shows != group.shown_by(place)
            && !matches!(group.pending, Pending::Elect(_))
        {
            push(Change::Learn(place));
        }
    }
}

/// The group goes on without its primary, where the others are the majority.
fn expel(world: &mut World, place: Place, wait: u8) {
    let group = &mut world.group;
    if group.primary == place {
        group.writable = false;
        group.pending = Pending::Nothing;
        if group.members.count_ones() > 2 {
            group.pending = Pending::Expel(place, wait);
        }
    }
}

/// A server is reached by the group again: before it was expelled nothing has happened, afterwards it is out, and may not know.
fn rejoin(world: &mut World, place: Place, in_group: bool) {
    let pending = matches!(world.group.pending, Pending::Expel(out, _) if out == place);
    let host = &mut world.hosts[usize::from(place)];
    if !matches!(host.process, Process::Stale | Process::Blocks) {
        return;
    }
    if !in_group {
        host.process = Process::Stale;
        return;
    }
    host.process = Process::Answers;
    host.shows.unreachable = 0;
    if pending || world.group.primary == place {
        world.group.pending = Pending::Nothing;
        world.group.writable = true;
    }
}

fn sign(sign: ProcessSign) -> Mail {
    Mail { due: 0, age: 0, what: What::Sign(sign) }
}

fn set_interface_down(host: &mut Host, down: bool) {
    host.interface_down = down;
    put(host, Mail { due: 0, age: 0, what: What::Addresses });
}

fn end_agent(host: &mut Host) {
    host.agent = None;
    host.paused = false;
    host.mail.clear();
    host.asking = (false, false);
    host.wake = super::world::NEVER;
    host.still = 0;
}

/// Whether this fault lasts there, and can end.
fn has(kind: Kind, host: &Host) -> bool {
    match kind {
        Kind::AgentPaused => host.paused,
        Kind::OperatorPauses => host.paused_by_operator && !host.paused,
        Kind::AgentKilled | Kind::AgentStopped => host.powered && host.agent.is_none(),
        Kind::Isolate => host.isolated.is_some(),
        Kind::StartedAnew => host.process == Process::Refuses,
        Kind::Hang => host.process == Process::Blocks,
        Kind::GatewayLost => host.gateway_lost,
        Kind::InterfaceDown => host.interface_down,
        Kind::WatcherStuck => host.stuck,
        Kind::Occupied => host.occupied,
        Kind::Switchover
        | Kind::SwitchoverWithBacklog
        | Kind::Shutdown
        | Kind::Kill
        | Kind::GroupCut
        | Kind::PowerOff
        | Kind::RemovedByHand
        | Kind::WrongNo
        | Kind::Stranger
        | Kind::StrangerAnnounces
        | Kind::SwitchAnswers => false,
    }
}

/// Faults of servers strike the primary: another's changes nothing of the VIP.
fn can_begin(kind: Kind, world: &World, place: Place) -> bool {
    let host = &world.hosts[usize::from(place)];
    let group = &world.group;
    let quiet = group.pending == Pending::Nothing && group.writable;
    let leads = group.primary == place && quiet && host.powered && host.process == Process::Answers;
    match kind {
        Kind::Switchover | Kind::SwitchoverWithBacklog => {
            quiet
                && group.has(place)
                && group.primary != place
                && host.powered
                && host.process == Process::Answers
        }
        Kind::Shutdown => leads && group.members.count_ones() > 1 && host.isolated.is_none(),
        Kind::Kill | Kind::StartedAnew | Kind::Hang | Kind::GroupCut | Kind::PowerOff => leads,
        Kind::Isolate => host.powered && host.isolated.is_none() && quiet,
        Kind::AgentPaused | Kind::AgentKilled | Kind::OperatorPauses => host.agent.is_some() && !host.paused,
        Kind::AgentStopped => host.agent.is_some(),
        Kind::RemovedByHand => host.vip.is_some(),
        Kind::GatewayLost => host.powered && !host.gateway_lost,
        Kind::InterfaceDown => host.powered && !host.interface_down,
        Kind::WatcherStuck => host.agent.is_some() && !host.stuck,
        Kind::WrongNo => host.agent.is_some() && !host.wrong_no,
        Kind::Occupied => host.powered && !host.occupied && host.process == Process::Answers,
        Kind::Stranger | Kind::StrangerAnnounces | Kind::SwitchAnswers => false,
    }
}
