//! Faults, as the changes that they make to the world, with the delays that were measured on real servers.

use std::time::Duration;

use crate::group::{Place, Process};
use crate::world::{Change, World};

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `group_replication_set_as_primary()`.
    Switchover,
    /// `SHUTDOWN` of the primary: for 3 s the old server goes on saying that it leads, in the old view.
    Shutdown,
    /// `STOP GROUP_REPLICATION` on the primary: for 3 s its answers block.
    StopGroupReplication,
    /// `kill -9` of the primary's mysqld: it refuses.
    Kill,
    /// The primary's host goes dark.
    PowerOff,
    /// The primary's server takes questions and does not answer; the group elects another.
    ServerHangs,
    /// The holder's agent hangs while the group switches over.
    AgentHangs,
    /// The holder's agent is told to stop, and started again.
    AgentRestarts,
    /// The holder's agent is killed, and started again.
    AgentKilled,
    /// The group's port of the primary is cut off; it stays on the segment.
    GroupPortCut,
    /// Someone removes the VIP by hand.
    RemovedByHand,
    /// The primary's host loses its gateway, and gets it back.
    GatewayLost,
    /// The primary's host is cut off from all others and from the gateway, for longer or shorter than the group waits.
    Isolated,
    /// `SHUTDOWN`, and the VIP is removed by hand at the moment of the election: the lying old server's agent and the new
    /// primary's both find it free.
    TwoClaimants,
}

impl Fault {
    /// Each.
    pub const EACH: [Self; 14] = [
        Self::Switchover,
        Self::Shutdown,
        Self::StopGroupReplication,
        Self::Kill,
        Self::PowerOff,
        Self::ServerHangs,
        Self::AgentHangs,
        Self::AgentRestarts,
        Self::AgentKilled,
        Self::GroupPortCut,
        Self::RemovedByHand,
        Self::GatewayLost,
        Self::Isolated,
        Self::TwoClaimants,
    ];

    /// Whether the group and all hosts are whole again some seconds after it.
    pub fn passes(self) -> bool {
        matches!(
            self,
            Self::Switchover
                | Self::AgentHangs
                | Self::AgentRestarts
                | Self::AgentKilled
                | Self::RemovedByHand
                | Self::GatewayLost
        )
    }

    /// Lets it happen now. Returns how long its consequences last at the most.
    pub fn happen(self, world: &mut World) -> Duration {
        world.story.push(format!("{} ==== {self:?}", world.now));
        let old = world.group.primary;
        let others: Vec<Place> = world.group.members.iter().copied().filter(|place| *place != old).collect();
        let place = world.rng.usize(0..others.len().max(1));
        let new = others.get(place).copied().unwrap_or(old);
        let seconds = Duration::from_secs;
        match self {
            Self::Switchover => switchover(world, old, new),
            Self::Shutdown => {
                world.change_in(seconds(3), Change::Process(old, Process::Refuses));
                let elected = world.between_ms(400, 1000);
                elect(world, elected, &others, new);
            }
            Self::StopGroupReplication => {
                world.change_in(seconds(0), Change::Process(old, Process::Blocks));
                world.change_in(seconds(3), Change::Process(old, Process::LeftGroup));
                let elected = world.between_ms(300, 700);
                elect(world, elected, &others, new);
            }
            Self::Kill => {
                world.change_in(seconds(0), Change::Process(old, Process::Refuses));
                expel(world, old, &others, new);
            }
            Self::PowerOff => {
                world.change_in(seconds(0), Change::PowerOff(old));
                expel(world, old, &others, new);
            }
            Self::ServerHangs => {
                world.change_in(seconds(0), Change::Process(old, Process::Blocks));
                expel(world, old, &others, new);
            }
            Self::AgentHangs => {
                let until = world.now + world.between_ms(100, 15_000);
                world.change_in(seconds(0), Change::Hang(old, until));
                let wait = world.between_ms(0, 3_000);
                world.run(wait);
                switchover(world, old, new);
            }
            Self::AgentRestarts | Self::AgentKilled => {
                let told = self == Self::AgentRestarts;
                world.change_in(seconds(0), Change::AgentEnds { host: old, told });
                let wait = world.between_ms(10, 4_000);
                world.change_in(wait, Change::AgentStarts(old));
            }
            Self::GroupPortCut => {
                let unreachable = world.between_ms(5_000, 6_000);
                world.change_in(unreachable, Change::Show(old, false, others.clone()));
                expel(world, old, &others, new);
            }
            Self::RemovedByHand => world.change_in(seconds(0), Change::RemoveByHand(old)),
            Self::GatewayLost => {
                world.change_in(seconds(0), Change::GatewayAnswers(old, false));
                let wait = world.between_ms(100, 8_000);
                world.change_in(wait, Change::GatewayAnswers(old, true));
            }
            Self::Isolated => {
                world.change_in(seconds(0), Change::Isolated(old, true));
                if world.rng.bool() {
                    let blink = world.between_ms(10, 4_500);
                    world.change_in(blink, Change::Isolated(old, false));
                } else {
                    let unreachable = world.between_ms(5_000, 6_000);
                    world.change_in(unreachable, Change::Show(old, false, others.clone()));
                    expel(world, old, &others, new);
                    let back = world.between_ms(5_000, 30_000);
                    world.change_in(back, Change::Isolated(old, false));
                }
            }
            Self::TwoClaimants => {
                world.change_in(seconds(3), Change::Process(old, Process::Refuses));
                let elected = world.between_ms(400, 1000);
                let writable = elect(world, elected, &others, new);
                let early = world.between_ms(0, 100);
                let late = world.between_ms(0, 100);
                world.change_in((writable + late).saturating_sub(early), Change::RemoveByHand(old));
            }
        }
        if matches!(
            self,
            Self::Kill | Self::PowerOff | Self::ServerHangs | Self::GroupPortCut | Self::Isolated
        ) {
            seconds(40)
        } else {
            seconds(25)
        }
    }
}

/// Members learn of it within some milliseconds of each other; the new primary shows its role before it takes writes.
fn switchover(world: &mut World, old: Place, new: Place) {
    world.change_in(Duration::ZERO, Change::NotWritable);
    world.change_in(Duration::ZERO, Change::Show(old, true, Vec::new()));
    let elected = world.between_ms(30, 80);
    world.change_in(elected, Change::Elect(new));
    shown_and_writable(world, elected, new, &world.group.members.clone());
}

/// A new view of the survivors at `elected`, led by `new`. Returns when it takes writes.
fn elect(world: &mut World, elected: Duration, survivors: &[Place], new: Place) -> Duration {
    world.change_in(elected, Change::NotWritable);
    world.change_in(elected, Change::View(survivors.to_vec(), new));
    shown_and_writable(world, elected, new, survivors)
}

fn shown_and_writable(world: &mut World, elected: Duration, new: Place, members: &[Place]) -> Duration {
    for member in members {
        let shown = elected + world.between_us(1, 20_000);
        world.change_in(shown, Change::Show(*member, true, Vec::new()));
    }
    let writable = elected + world.between_ms(21, 60);
    world.change_in(writable, Change::Show(new, false, Vec::new()));
    world.change_in(writable, Change::Writable(new));
    writable
}

/// Silence: UNREACHABLE after 5 s, out of the group after 6 to 22 s, and another leads.
fn expel(world: &mut World, old: Place, survivors: &[Place], new: Place) {
    world.change_in(Duration::ZERO, Change::NotWritable);
    for member in survivors {
        let unreachable = world.between_ms(5_000, 6_000);
        world.change_in(unreachable, Change::Show(*member, true, vec![old]));
    }
    let elected = world.between_ms(6_000, 22_000);
    elect(world, elected, survivors, new);
}
