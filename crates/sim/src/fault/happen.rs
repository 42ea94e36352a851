//! What faults do to the world.

use std::time::Duration;

use super::{Fault, Who};
use crate::group::{Place, Places, TurnsAway};
use crate::nic::Nic;
use crate::world::{Change, Cut, World};

impl Fault {
    /// Lets it happen now.
    pub fn happen(self, world: &mut World) {
        world.tell_fault(&self);
        let hosts = world.hosts.len();
        let now = Duration::ZERO;
        let after = Duration::from_millis;
        let place = |world: &World, who: Who| world.who(who);
        match self {
            Self::Switchover { to } => world.switch_over(to % hosts, None),
            Self::SwitchoverWithBacklog { to, ms } => world.switch_over(to % hosts, Some(after(ms))),
            Self::Shutdown { who, ms } => {
                let host = place(world, who);
                world.server_shuts_down(host);
                world.change_in(after(ms.max(3_100)), Change::ServerStarts(host));
            }
            Self::StopGroupReplication { who, ms } => {
                let host = place(world, who);
                world.server_stops_replication(host);
                world.change_in(after(ms.max(3_100)), Change::ServerJoins(host));
            }
            Self::Kill { who, ms } => {
                let host = place(world, who);
                let life = world.hosts[host].server.life;
                world.change_in(now, Change::ServerEnds(host, life));
                world.change_in(after(ms), Change::ServerStarts(host));
            }
            Self::PowerOff { who, ms } => {
                let host = place(world, who);
                world.change_in(now, Change::PowerOff(host));
                world.change_in(after(ms), Change::PowerOn(host));
            }
            Self::ServerHangs { who, ms } => {
                let host = place(world, who);
                let life = world.hosts[host].server.life;
                world.change_in(now, Change::ServerHangs(host));
                world.change_in(after(ms), Change::ServerGoesOn(host, life));
            }
            Self::ServerTurnsAway { who, password, ms } => {
                let host = place(world, who);
                let why = if password { TurnsAway::WrongPassword } else { TurnsAway::TooManyConnections };
                world.change_in(now, Change::ServerTurnsAway(host, Some(why)));
                world.change_in(after(ms), Change::ServerTurnsAway(host, None));
            }
            Self::ColdStart { ms } => {
                for host in 0..hosts {
                    let life = world.hosts[host].server.life;
                    let ends = world.between_ms(0, 500);
                    world.change_in(ends, Change::ServerEnds(host, life));
                    let starts = after(ms) + world.between_ms(500, 2_000);
                    world.change_in(starts, Change::ServerStarts(host));
                }
            }
            _ => self.happen_to_a_host(world),
        }
    }

    /// The faults of a host with all that is on it.
    fn happen_to_a_host(self, world: &mut World) {
        let now = Duration::ZERO;
        let after = Duration::from_millis;
        let place = |world: &World, who: Who| world.who(who);
        match self {
            Self::Paused { who, ms, clock_jumps } => {
                let host = place(world, who);
                world.pause(host, after(ms), clock_jumps);
            }
            Self::ClockJumps { who, ms } => {
                let host = place(world, who);
                world.clock_jumps(host, i64::try_from(ms).unwrap_or(0) * 1_000);
            }
            Self::FallsBehind { who, ms } => {
                let host = place(world, who);
                world.change_in(now, Change::Backlog(host, 1_000_000));
                world.change_in(after(ms), Change::Backlog(host, 0));
            }
            Self::Flushed { who } => {
                let host = place(world, who);
                world.change_in(now, Change::Flush(host));
            }
            Self::InterfaceGone { who, ms } => {
                let host = place(world, who);
                world.change_in(now, Change::InterfaceGoes(host, Nic::Eth0));
                world.change_in(after(ms), Change::InterfaceComes(host, Nic::Eth0));
            }
            _ => self.happen_to_an_agent(world),
        }
    }

    /// The faults of the agents alone.
    fn happen_to_an_agent(self, world: &mut World) {
        let now = Duration::ZERO;
        let after = Duration::from_millis;
        let place = |world: &World, who: Who| world.who(who);
        match self {
            Self::AgentHangs { who, ms } => {
                let host = place(world, who);
                world.hang_agent(host, after(ms));
            }
            Self::AgentHangsAtADeed { who, ms } => {
                let host = place(world, who);
                world.hang_agent_at_a_deed(host, after(ms));
            }
            Self::AgentHangsAndIsTold { who, ms } => {
                let host = place(world, who);
                world.hang_agent(host, after(ms));
                let told = world.between_ms(0, ms);
                world.change_in(told, Change::AgentEnds { host, told: true });
                world.change_in(after(ms * 2), Change::AgentStarts(host));
            }
            Self::AskerSticks { who, ms } => {
                let host = place(world, who);
                world.asker_sticks(host, after(ms));
            }
            Self::AgentKilled { who, ms } | Self::AgentRestarts { who, ms } => {
                let host = place(world, who);
                let told = matches!(self, Self::AgentRestarts { .. });
                world.change_in(now, Change::AgentEnds { host, told });
                world.change_in(after(ms), Change::AgentStarts(host));
            }
            Self::GivenUp { who, ms } => {
                let host = place(world, who);
                world.change_in(now, Change::AgentGivesUp(host));
                world.change_in(after(ms.max(3_100)), Change::AgentStarts(host));
            }
            Self::PausedByOperator { who, ms, resumed } => {
                let hosts = match who {
                    Some(who) => vec![place(world, who)],
                    None => (0..world.hosts.len()).collect(),
                };
                let until = world.now + after(ms);
                for host in &hosts {
                    let hears = if who.is_some() { now } else { world.between_ms(0, 1_000) };
                    world.change_in(hears, Change::OperatorPauses(*host, until));
                }
                let ends = if resumed { world.between_ms(ms / 2, ms) } else { after(ms) };
                for host in hosts {
                    let hears = if resumed { world.between_ms(0, 1_000) } else { now };
                    world.change_in(ends + hears, Change::OperatorResumes(host));
                }
            }
            _ => self.cut(world),
        }
    }

    /// The faults of the network.
    fn cut(self, world: &mut World) {
        let after = Duration::from_millis;
        let only = |world: &World, who: Who| -> Places { [world.who(who)].into_iter().collect() };
        let all = Places::first(world.hosts.len());
        match self {
            Self::GroupPortCut { who, ms } => {
                let these = only(world, who);
                world.cut_for(Cut::GroupPort(these), after(ms));
            }
            Self::ClientSideCut { who, gateway, ms } => {
                let these = only(world, who);
                world.cut_for(Cut::Segment(Nic::Eth0, these), after(ms));
                if gateway {
                    world.cut_for(Cut::Gateway(these), after(ms));
                }
            }
            Self::Isolated { who, ms } => {
                let these = only(world, who);
                for cut in [Cut::Segment(Nic::Eth0, these), Cut::GroupPort(these), Cut::Gateway(these)] {
                    world.cut_for(cut, after(ms));
                }
                if world.has_elsewhere() {
                    for cut in [Cut::Segment(Nic::Eth1, these), Cut::OwnGateway(these)] {
                        world.cut_for(cut, after(ms));
                    }
                }
            }
            Self::Partition { left, gateway, ms } => {
                let left = Places::first(left.clamp(1, world.hosts.len().saturating_sub(1)));
                world.cut_for(Cut::Segment(Nic::Eth0, left), after(ms));
                world.cut_for(Cut::GroupPort(left), after(ms));
                if gateway {
                    world.cut_for(Cut::Gateway(left), after(ms));
                }
            }
            Self::ReceiveDown { who, ms } => {
                world.cut_for(Cut::ReceiveDown(Nic::Eth0, world.who(who)), after(ms));
            }
            Self::Mute { who, ms } => world.cut_for(Cut::Mute(Nic::Eth0, world.who(who)), after(ms)),
            Self::Loss { percent, ms } => world.cut_for(Cut::Loss(Nic::Eth0, percent), after(ms)),
            Self::LossFrom { who, percent, ms } => {
                world.cut_for(Cut::LossFrom(Nic::Eth0, world.who(who), percent), after(ms));
            }
            Self::Duplicated { ms } => world.cut_for(Cut::Duplicated(Nic::Eth0), after(ms)),
            Self::Reordered { ms } => world.cut_for(Cut::Reordered(Nic::Eth0), after(ms)),
            Self::Late { ms } => world.cut_for(Cut::Late(Nic::Eth0), after(ms)),
            Self::Stranger { ms } => world.cut_for(Cut::Stranger(Nic::Eth0), after(ms)),
            Self::SwitchAnswers { ms } => world.cut_for(Cut::SwitchAnswers(Nic::Eth0), after(ms)),
            Self::GatewayLost { who, ms } => {
                let these = only(world, who);
                world.cut_for(Cut::Gateway(these), after(ms));
            }
            Self::OwnGatewayLost { who, ms } => {
                let these = only(world, who);
                world.cut_for(Cut::OwnGateway(these), after(ms));
            }
            Self::Elsewhere { what, ms } => what.happen(world, after(ms)),
            Self::GatewayLostForAll { ms } => world.cut_for(Cut::Gateway(all), after(ms)),
            _ => {}
        }
    }
}

impl World {
    /// Whom a fault meets now.
    pub fn who(&self, who: Who) -> Place {
        match who {
            Who::Primary => self.group.view.primary,
            Who::Holder => self.holders().first().copied().unwrap_or(self.group.view.primary),
            Who::Reader => self.reader_holder().unwrap_or(self.hosts.len() - 1),
            Who::Host(place) => place % self.hosts.len(),
        }
    }

    /// The same on the segment that only VIPs are on: whoever bears the VIP there is the holder.
    pub(super) fn who_elsewhere(&self, who: Who) -> Place {
        match who {
            Who::Holder => self.holder_elsewhere().unwrap_or(self.group.view.primary),
            who => self.who(who),
        }
    }
}
