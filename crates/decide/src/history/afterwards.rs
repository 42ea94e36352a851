//! What is learnt of an old primary once the VIP is here, where this host's server did not show why it was gone.

use super::row::{Code, Kind, Row};

/// How the old primary's MySQL port behaved when it was looked at afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortThen {
    /// It refused: the process is gone.
    Refused,
    /// Its server answered.
    Answered,
    /// It neither answered nor refused.
    Silent,
}

impl Row {
    /// Whether the old primary may have been expelled, and not have left by itself.
    ///
    /// A member that falls silent is found out by each server for itself, and expelled at the word of one of them. A server that found it
    /// out later than that one never shows it as UNREACHABLE: from one view to the next it is gone, as it is when it leaves in good order.
    pub fn may_have_been_expelled(&self) -> bool {
        self.kind == Kind::Came && self.code == Code::PrimaryLeft && self.detail.is_none()
    }

    /// It was: `seen_by`, a member, had found it UNREACHABLE, and `port` is how its MySQL port behaved once the VIP was here.
    pub fn was_expelled(&mut self, seen_by: &str, port: PortThen) {
        let (code, port) = match port {
            PortThen::Refused => (Code::PrimaryDied, "refused"),
            PortThen::Answered => (Code::PrimaryCutOff, "answered"),
            PortThen::Silent => (Code::HostSilent, "neither answered nor refused"),
        };
        self.code = code;
        self.detail =
            Some(format!("its port {port} afterwards, and it was UNREACHABLE for {seen_by} before"));
    }
}
