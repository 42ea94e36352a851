//! All that this crate reads of the rules: what goes in, what comes out, the limits they are given. `tests/edges.rs` holds it.

pub(crate) use decide::action::{Action, Outcome};
pub(crate) use decide::event::{
    Event, Fact, Frame, Gateway, GroupView, Mac, Member, MemberPort, MemberState, Says, Seen, Server, ViewId,
};
pub(crate) use decide::policy::{GatewayLost, Policy};
pub(crate) use decide::time::Time;
