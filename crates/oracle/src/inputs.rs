//! All that this crate reads of the rules: what goes in, what comes out, the limits they are given. `tests/edges.rs` holds it.

pub(crate) use decide::fitness::Fitness;
pub(crate) use decide::input::{
    Event, Fact, Frame, Gateway, GroupView, Host, HostAddress, Member, MemberPort, MemberState, NotInGroup,
    Role, Says, Seen, Server, ViewId,
};
pub(crate) use decide::net::{Mac, VipId};
pub(crate) use decide::output::{Action, Outcome, VipAction};
pub(crate) use decide::policy::{
    GatewayLost, GroupPolicy, Policy, ReadOnlyPrimary, ReaderPolicy, VipGateway, VipPolicy, VipRole,
    WhenNoReader,
};
pub(crate) use decide::time::Time;
