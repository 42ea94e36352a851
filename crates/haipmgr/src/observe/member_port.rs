//! Whether a member's MySQL port answers, refuses or is silent.
//!
//! Where the port takes the connection this logs in as the agent's account and asks, on a connection that then ends: a
//! bare connect would count as an aborted one, and 100 of these make a server block this host (`max_connect_errors`). A
//! refused one never reaches a server.

use decide::input::{Fact, MemberPort, Seen, Server};

use super::mysql::{Access, CannotAsk, Servers, ask_and_tell, ask_once};

/// Looks once, and tells what was seen, at the latest when the limits in `access` have passed.
///
/// # Errors
/// The system gives no thread or no descriptor.
pub fn look_and_tell(
    servers: &Servers,
    access: Access,
    tell: impl FnOnce(Seen<MemberPort>) + Send + 'static,
) -> Result<(), CannotAsk> {
    ask_and_tell(servers, access, |Seen { asked_at, fact }| tell(Seen { asked_at, fact: of(fact) }))
}

/// Looks once. Blocks, as long as the limits in `access` allow.
pub fn look(access: &Access) -> Seen<MemberPort> {
    let Seen { asked_at, fact } = ask_once(access);
    Seen { asked_at, fact: of(fact) }
}

fn of(fact: Fact<Server>) -> Fact<MemberPort> {
    match fact {
        Fact::Known(Server::Refused(_)) => Fact::Known(MemberPort::Refuses),
        Fact::Known(Server::Member(view)) => Fact::Known(MemberPort::Answers(Some(view.local))),
        Fact::Known(Server::NotInGroup(_)) => Fact::Known(MemberPort::Answers(None)),
        Fact::Unknown(why) if why.server_lives() => Fact::Known(MemberPort::Answers(None)),
        Fact::Unknown(why) => Fact::Unknown(why),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use decide::input::Why;

    use super::*;

    #[test]
    fn only_a_refusal_says_that_the_process_is_gone() {
        assert_eq!(of(Fact::Known(Server::Refused(String::new()))), Fact::Known(MemberPort::Refuses));
        for alive in [Why::WrongPassword(String::new()), Why::TooManyConnections(String::new())] {
            assert_eq!(of(Fact::Unknown(alive)), Fact::Known(MemberPort::Answers(None)));
        }
        for silent in [Why::TimedOut(Duration::from_secs(1)), Why::Unreachable(String::new())] {
            assert!(matches!(of(Fact::Unknown(silent)), Fact::Unknown(_)));
        }
    }
}
