//! The words of a reason that is about a reader VIP, where the writer's would name a primary that has nothing to do with it.

use super::{LetGo, Reason};

/// None: the writer's words say it as well.
pub(super) fn words(reason: &Reason) -> Option<String> {
    Some(match reason {
        Reason::Started { interface, because } => {
            format!("VIP started on {interface}: it belongs here, and {because}")
        }
        Reason::Stopped { interface, because: LetGo::NothingKnown(member) } => {
            format!(
                "VIP stopped on {interface}: yielded to member {member}: our own server did not answer in time"
            )
        }
        Reason::Holding => "VIP kept: it belongs here, and all stages pass".to_owned(),
        Reason::WaitingForClaim(stage, cause) => {
            format!("VIP kept until another member claims it, for claim_wait at most: {stage} fails: {cause}")
        }
        Reason::Lingering(stage, cause) => format!(
            "VIP kept so that clients are refused at once, until another member claims it, for linger at most: {stage} fails: {cause}"
        ),
        Reason::Disputed(member) => format!("member {member} claims the VIP: asking our own server"),
        Reason::DisputeWon(member) => format!("VIP kept: member {member} claims it, but it belongs here"),
        Reason::Defended(mac) => {
            format!("VIP kept: it belongs here, so the VIP is announced again, against {mac}")
        }
        _ => return None,
    })
}
