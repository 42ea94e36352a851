//! All that this crate reads of the rules: what goes in, what comes out, the limits they are given. `tests/edges.rs` holds it.

pub(crate) use decide::action::{Action, Outcome, VipAction};
pub(crate) use decide::event::{
    Event, Fact, Frame, Gateway, GroupView, HostAddress, Mac, Member, MemberPort, MemberState, NotInGroup,
    Says, Seen, Server, ViewId,
};
pub(crate) use decide::net::VipId;
pub(crate) use decide::policy::{GatewayLost, GroupPolicy, Policy, ReadOnlyPrimary, VipPolicy};
pub(crate) use decide::time::Time;
