//! Asks the agent that runs, and waits for its end.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::message::{Answer, BadMessage, LONGEST_ANSWER, Request};

/// Longer than an agent takes to give all VIPs up.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The agent can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent runs here with this configuration: nobody listens at {}", .0.display())]
    NobodyThere(PathBuf),
    /// The socket can't be spoken to.
    #[error("cannot connect to the agent at {}: {cause}; only root and the agent's own user may", path.display())]
    Unusable {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// It is there, and does not answer.
    #[error(
        "the agent at {} does not answer within {} s: it is hung; end it with kill -9, and the kernel removes the VIP when its lease ends",
        .0.display(), ANSWER_WITHIN.as_secs()
    )]
    Silent(PathBuf),
    /// What goes or comes is no message.
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
}

/// Asks, and comes back with the answer: once the agent's process has ended, where that was asked for.
///
/// # Errors
/// There is no agent, or it does not answer.
pub fn ask(path: &Path, request: &Request) -> Result<Answer, ClientError> {
    let line = request.line()?;
    let unusable = |cause: io::Error| match cause.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => ClientError::Silent(path.to_owned()),
        _ => ClientError::Unusable { path: path.to_owned(), cause },
    };
    let mut stream = match connect(path) {
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ClientError::NobodyThere(path.to_owned()));
        }
        connected => connected.map_err(unusable)?,
    };
    stream.set_write_timeout(Some(ANSWER_WITHIN)).map_err(unusable)?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).map_err(unusable)?;
    stream.write_all(line.as_bytes()).map_err(unusable)?;
    let mut answer = Vec::new();
    let most = u64::try_from(LONGEST_ANSWER + 1).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(stream.take(most));
    reader.read_until(b'\n', &mut answer).map_err(unusable)?;
    if answer.is_empty() {
        return Err(unusable(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer")));
    }
    let answer = Answer::parse(&answer)?;
    if matches!(answer, Answer::Done(_)) {
        // The connection ends with the process; a reset is an end, too, and so is our patience.
        let _ = reader.read_until(b'\n', &mut Vec::new());
    }
    Ok(answer)
}

/// Without waiting endlessly where the agent is hung and its queue full.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let since = Instant::now();
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    while let Err(cause) = socket.connect(&address) {
        let full = cause.raw_os_error() == Some(Errno::EAGAIN as i32);
        if !full || since.elapsed() >= CONNECT_WITHIN {
            return Err(cause);
        }
        std::thread::sleep(CONNECT_AGAIN_AFTER);
    }
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}
