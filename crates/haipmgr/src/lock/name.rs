//! A name for each VIP that is there once in a network namespace: an abstract Unix socket (unix(7)). Agents whose file
//! systems have nothing in common, as containers' that share the host's network, find each other by it. It ends with the
//! process.

use std::io;
use std::net::IpAddr;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use socket2::{Domain, SockAddr, Socket, Type};

/// Another that takes the name at this very moment may not listen yet.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);
const LOOKS: u32 = 10;

/// The name can't be had.
#[derive(Debug)]
pub(super) enum NoName {
    /// An agent has it: somebody of root's or of this agent's own user. The process, where it can be seen from here.
    Held(Option<i32>),
    /// Something else has it, or the system gives none: another agent could go unnoticed. In words.
    NotToBeHad(String),
}

/// Takes the VIP's name. It is held for as long as the value lives.
pub(super) fn take(vip: IpAddr) -> Result<UnixListener, NoName> {
    let name = format!("haipmgr VIP {vip}");
    let failed =
        |cause: io::Error| NoName::NotToBeHad(format!("cannot take the socket name \"@{name}\": {cause}"));
    let address = SocketAddr::from_abstract_name(&name).map_err(failed)?;
    for _ in 0..LOOKS {
        match UnixListener::bind_addr(&address) {
            Err(cause) if cause.kind() == io::ErrorKind::AddrInUse => {}
            bound => return bound.map_err(failed),
        }
        match holder(&name) {
            Ok((user, process)) if user == 0 || user == nix::unistd::geteuid().as_raw() => {
                return Err(NoName::Held((process > 0).then_some(process)));
            }
            Ok((user, process)) => {
                return Err(NoName::NotToBeHad(format!(
                    "the socket name \"@{name}\" is taken by process {process} of user {user}, which is not an agent; end that process"
                )));
            }
            // It listens, and so many were refused that its queue is full.
            Err(cause) if cause.raw_os_error() == Some(Errno::EAGAIN as i32) => {
                return Err(NoName::Held(None));
            }
            Err(_) => std::thread::sleep(LOOK_AGAIN_AFTER),
        }
    }
    Err(NoName::NotToBeHad(format!(
        "the socket name \"@{name}\" is taken by a process that does not listen; ss -xlp shows it"
    )))
}

/// User and process of who has the name, by the kernel's word; process 0 where it is in another process namespace.
fn holder(name: &str) -> io::Result<(u32, i32)> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(format!("\0{name}"))?)?;
    let credentials = getsockopt(&socket, PeerCredentials)?;
    Ok((credentials.uid(), credentials.pid()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_held_once_and_free_again_after_its_holder() {
        let vip = "192.0.2.201".parse().unwrap();
        let first = take(vip).unwrap();
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(matches!(take(vip), Err(NoName::Held(Some(pid))) if pid == own));
        take("192.0.2.202".parse().unwrap()).unwrap();
        drop(first);
        take(vip).unwrap();
    }

    #[test]
    fn a_name_that_is_taken_by_what_does_not_listen_is_said_and_is_no_agent() {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        socket.bind(&SockAddr::unix("\0haipmgr VIP 192.0.2.203").unwrap()).unwrap();
        let refused = take("192.0.2.203".parse().unwrap());
        assert!(matches!(refused, Err(NoName::NotToBeHad(text)) if text.contains("does not listen")));
    }
}
