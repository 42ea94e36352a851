//! Carries out what was decided, in order.

use std::fmt::Display;
use std::net::IpAddr;

use decide::State;
use decide::input::Event;
use decide::net::VipId;
use decide::output::{Action, Outcome, VipAction};

use super::vip_edges::failed;
use super::{Agent, held, wiring};
use crate::act::expel::Expel;
use crate::act::sockets;
use crate::observe::mysql::ask_and_tell;

impl Agent {
    /// Carries out one deed. Only an order about the address, and a probe, can fail here; what else goes wrong is said in the
    /// log.
    pub(super) async fn carry_out_deed(&mut self, action: &Action) -> Outcome {
        match action {
            Action::Vip(vip, action) => return self.carry_out_for_vip(*vip, action).await,
            Action::AskServer => self.wiring.ask_server(),
            Action::AskGateway => self.wiring.ask_gateway(),
            Action::AskHost => self.shared.ask_host(),
            Action::AskPeer(member) => self.ask_peer(*member),
            Action::LearnNeighbors => self.wiring.learn_neighbors(),
            Action::PollEvery(every) => self.wiring.poll_server_every(*every),
            // The agent that goes on marks it.
            Action::WriteStat(_) if self.leaving.as_ref().is_some_and(|leaving| !leaving.marks) => {}
            Action::WriteStat(mark) => {
                let written = self.stat_file.write(*mark);
                self.report(written);
            }
            Action::LookAtMember(member) => self.look_at(*member),
            Action::ReadExpelTimeout => self.expel(Expel::read),
            Action::WakeExpel => self.expel(Expel::wake),
            Action::SetExpelTimeout { original } => self.expel(|expel| expel.set(*original)),
            Action::RestoreExpelTimeout { value } => self.expel(|expel| expel.restore(*value)),
            Action::Fence { member, name } => self.fence(*member, name),
        }
        Outcome::Succeeded
    }

    /// What the switch of an address needs is opened, and loaded by the kernel, before it is needed.
    pub(super) fn prepare(&self) {
        for vip in self.cluster.policy.vips.values() {
            self.shared.addresses.prepare(vip.address);
        }
        if let Some(address) = self.cluster.policy.vips.values().next().map(|vip| vip.address) {
            let journal = self.journal.clone();
            tokio::spawn(async move {
                // The first question makes the kernel load tcp_diag, which is of both families.
                if let Err(error) = sockets::list(address).await {
                    journal.error(&error.to_string());
                }
            });
        }
    }

    async fn carry_out_for_vip(&mut self, id: VipId, action: &VipAction) -> Outcome {
        let Some(vip) = self.vips.get_mut(&id) else {
            return Outcome::Failed(format!("{id} is not in the configuration"));
        };
        let addresses = &self.shared.addresses;
        match action {
            VipAction::AddAddress { interface, lifetime } => {
                let label = self.wiring.label(interface, self.cluster.mysql_port, &self.journal);
                return vip.add(addresses, interface, &label, *lifetime).await;
            }
            VipAction::RenewAddress { interface, lifetime } => {
                let label = self.wiring.label(interface, self.cluster.mysql_port, &self.journal);
                return vip.renew(addresses, interface, &label, *lifetime).await;
            }
            VipAction::RemoveAddress { interface } => return vip.remove(addresses, interface).await,
            // The rules say it, for a probe that was not sent must not count as unanswered.
            VipAction::SendProbe => return self.wiring.probe(id).err().map_or(Outcome::Succeeded, failed),
            VipAction::AskWhoHasVip => self.wiring.ask_who_has_vip(id, vip.address()),
            // The agent that goes on speaks for this host.
            VipAction::SayFitness(_) | VipAction::SayMember { .. } if self.leaving.is_some() => {}
            VipAction::SayFitness(fitness) => self.wiring.say_fitness(id, vip.address(), *fitness),
            VipAction::SayMember { member, from } => {
                let place = self.cluster.policy.group.members.keys().position(|known| known == member);
                if let Some(Err(error)) = place.map(|place| self.wiring.say_member(id, place, *from)) {
                    // It is said again in a second.
                    self.once.error(&self.journal, error.to_string(), &error);
                }
            }
            VipAction::AnnounceRelease(to) => {
                let sent = self.wiring.announce_release(id, *to);
                self.report(sent);
            }
            VipAction::Announce => {
                let sent = self.wiring.announce(id);
                self.report(sent);
            }
            VipAction::ListConnections => vip.list_connections(),
            VipAction::KeepLatePackets { interface } => vip.keep_late_packets(interface),
            VipAction::ForwardLatePackets(to) => vip.forward_late_packets(*to),
            VipAction::WatchOrphanSyns { interface, mac } => vip.watch_orphan_syns(interface, *mac),
            VipAction::RefuseOrphanSyns => vip.refuse_orphan_syns(),
            VipAction::EndOrphanSyns => vip.end_orphan_syns(),
            VipAction::TickleClients => vip.tickle(),
            VipAction::DestroyConnections => vip.destroy(),
        }
        Outcome::Succeeded
    }

    /// Announces each VIP that is held.
    pub(super) fn announce_again(&mut self, state: &State) {
        for (vip, _) in held(state) {
            let sent = self.wiring.announce(vip);
            self.report(sent);
        }
    }

    fn report<E: Display>(&self, done: Result<(), E>) {
        if let Err(error) = done {
            self.journal.error(&error.to_string());
        }
    }

    fn ask_peer(&self, member: IpAddr) {
        let access = wiring::access_to(&self.cluster, member);
        let events = self.events.clone();
        // Fails only when the agent is stopping.
        let tell = move |seen| drop(events.send(Event::Peer { member, seen }));
        if let Err(error) = ask_and_tell(&self.wiring.servers(), access, tell) {
            self.journal.error(&error.to_string());
        }
    }
}
