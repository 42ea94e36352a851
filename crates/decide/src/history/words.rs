//! A switch in one sentence.

use super::row::{Code, Kind, Row};

impl Row {
    /// `name`: what the VIP is called, mostly the cluster's name. Who ordered it is not known here.
    pub fn sentence(&self, name: &str) -> String {
        let detail = self.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
        match self.kind {
            Kind::Came => self.came(name, &detail),
            Kind::Left => self.left(name, &detail),
        }
    }

    fn came(&self, name: &str, detail: &str) -> String {
        let to = self.to.as_ref().map_or_else(|| "this host".to_owned(), ToString::to_string);
        let old = self.from.as_ref().map_or_else(|| "the old primary".to_owned(), ToString::to_string);
        let moved = match &self.from {
            Some(from) if self.to.as_ref() != Some(from) => format!("{name} moved from {from} to {to}"),
            Some(_) => format!("{name} is back on {to}"),
            None => format!("{name} came to {to}"),
        };
        match self.code {
            Code::Switchover => format!("{moved}: the group was told to make {to} the primary"),
            Code::PrimaryDied => format!("{moved} after {old}'s mysqld died{detail}"),
            Code::HostSilent => format!("{moved} after {old} fell silent{detail}"),
            Code::PrimaryCutOff => format!("{moved} after the group lost {old}{detail}"),
            Code::PrimaryLeft => format!("{moved} after {old} left the group{detail}"),
            Code::MajorityLost => format!("{moved}: its server sees the majority again"),
            Code::ServerSilent => format!("{moved}: its server answers again"),
            Code::ReadOnly => format!("{moved}: its server takes writes again"),
            Code::GatewayLost => format!("{moved}: its gateway answers again"),
            Code::SegmentLost => format!("{moved}: the other members answer on the segment again"),
            Code::RemovedByHand => {
                format!("{moved}: it was removed by hand or by another program, and added again")
            }
            Code::LeaseEnded => format!("{moved}: the agent had not run for longer than the lease"),
            Code::HostSuspended => format!("{moved} after this host was suspended"),
            Code::NotAMember => format!("{moved}: its own address is there again"),
            Code::InterfaceLost => format!("{moved}: its interface is there again"),
            Code::Drained => format!("{moved} after haipmgr undrain"),
            Code::Conflict => format!("{moved}: no other host answers for it any more"),
            Code::Overruled => format!("{moved}: {old} did not yield for takeover_after{detail}"),
            Code::Placed => format!("{moved}: it belongs there, by what every member says of itself"),
            Code::AgentStarted => {
                format!("{moved}: the agent started, its server is the primary, and nobody had it")
            }
            Code::GroupStarted => format!("{moved}: its server came into the group as the primary"),
            Code::NotKnown => format!("{moved}; why is not known here"),
        }
    }

    fn left(&self, name: &str, detail: &str) -> String {
        let from = self.from.as_ref().map_or_else(|| "this host".to_owned(), ToString::to_string);
        let left = match &self.to {
            Some(to) => format!("{name} left {from} for {to}"),
            None => format!("{name} left {from}"),
        };
        match self.code {
            Code::RemovedByHand => format!("{left}: it was removed by hand or by another program"),
            Code::LeaseEnded => format!("{left}: the agent did not run for longer than its lease"),
            _ => format!("{left}{detail}"),
        }
    }
}
