//! What follows from a fact's being new.

use crate::policy::VipGateway;

/// What has just become known and is more than a fact: something follows from its being new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The host's addresses or interfaces are not what they were.
    HostChanged,
    /// This interface runs again.
    InterfaceUp(String),
    /// This gateway answered until now.
    GatewayLost(VipGateway),
    /// The kernel found no VIP to renew where one was known to be.
    AddressGone,
    /// The local server's process has ended.
    ProcessEnded,
    /// A member that was silent says again how fit its host is: one of the two may have taken what the other has.
    HeardAgain,
    /// The local server has something to tell: it is to be asked now.
    WorthAsking,
}
