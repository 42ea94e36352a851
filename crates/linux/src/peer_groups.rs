//! The supplementary groups of whoever is at the other end of a Unix socket: by the kernel's word, as they were when it connected.
//!
//! Not by the user's name in the group database: that may be asked over a network, and says nothing of what the process itself has.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

/// As many as most users have; where there are more the kernel says how many.
const MOSTLY: usize = 32;
/// No process has more (`NGROUPS_MAX`, credentials(7)).
const AT_MOST: usize = 65_536;

/// The other end's supplementary groups (unix(7), `SO_PEERGROUPS`); its first one is not among them, as a rule.
///
/// # Errors
/// It is no connected Unix socket, or the kernel is older than 4.13.
pub fn peer_groups(socket: &impl AsFd) -> io::Result<Vec<u32>> {
    let mut groups = vec![0_u32; MOSTLY];
    loop {
        let room = groups.len() * size_of::<u32>();
        let mut length = libc::socklen_t::try_from(room).map_err(io::Error::other)?;
        // SAFETY: the buffer has `length` bytes and outlives the call; any bytes are valid numbers; the kernel writes no more than
        // `length`, and there what it has written or would have.
        let result = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERGROUPS,
                groups.as_mut_ptr().cast(),
                &raw mut length,
            )
        };
        let count = usize::try_from(length).map_err(io::Error::other)? / size_of::<u32>();
        if result == 0 {
            groups.truncate(count);
            return Ok(groups);
        }
        let cause = io::Error::last_os_error();
        if cause.raw_os_error() != Some(libc::ERANGE) || count <= groups.len() || count > AT_MOST {
            return Err(cause);
        }
        groups.resize(count, 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::net::UnixStream;

    use super::peer_groups;

    #[test]
    fn the_other_end_has_the_groups_of_its_process() {
        let (here, _other) = UnixStream::pair().unwrap();
        let own = nix::unistd::getgroups().unwrap();
        assert_eq!(peer_groups(&here).unwrap(), own.iter().map(|group| group.as_raw()).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_no_unix_socket_is_refused() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(peer_groups(&socket).is_err());
    }
}
