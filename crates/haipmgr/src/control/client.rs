//! Asks the agent that runs, and waits for its end.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use super::message::{Answer, BadMessage, LONGEST_STATUS, Request, Speaks};

const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// How long the agent is waited for.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Until it hears, and has room.
    pub connect: Duration,
    /// For each part of its answer.
    pub answer: Duration,
}

impl Patience {
    /// For an order: longer than an agent takes to give all VIPs up.
    pub const ORDER: Self = Self { connect: Duration::from_secs(2), answer: Duration::from_secs(10) };
}

/// The agent can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("no agent runs here with this configuration: nobody listens at {}", .0.display())]
    NobodyThere(PathBuf),
    /// This user may not.
    #[error(
        "the agent at {} may be asked by root, its own user and the group haipmgr alone: {cause}", path.display()
    )]
    NotAllowed {
        /// The socket.
        path: PathBuf,
        /// The kernel's word.
        #[source]
        cause: io::Error,
    },
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
        "the agent at {} does not answer within {} ms: it is hung; end it with kill -9, and the kernel removes the VIP when its lease ends",
        path.display(), within.as_millis()
    )]
    Silent {
        /// The socket.
        path: PathBuf,
        /// How long it was waited for.
        within: Duration,
    },
    /// What goes or comes is no message.
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
}

/// Asks, and comes back with the answer: once the agent's process has ended, where that was asked for.
///
/// # Errors
/// There is no agent, or it does not answer.
pub fn ask(path: &Path, request: &Request, patience: Patience) -> Result<Answer, ClientError> {
    let (answer, speaks) = ask_with(path, &request.line()?, patience)?;
    match (answer, speaks) {
        // It could not read the envelope, and has done nothing.
        (Answer::Failed(_), Speaks::Version01) => {
            ask_with(path, &request.line_for_version_0_1()?, patience).map(|(answer, _)| answer)
        }
        (answer, _) => Ok(answer),
    }
}

/// Where the agent has no room it ends the connection at once: then it is asked again, for as long as that makes sense.
fn ask_with(path: &Path, line: &str, patience: Patience) -> Result<(Answer, Speaks), ClientError> {
    let since = Instant::now();
    loop {
        match ask_once(path, line, patience, since) {
            Err(ClientError::Unusable { cause, .. })
                if is_turned_away(&cause) && since.elapsed() < patience.connect =>
            {
                std::thread::sleep(AGAIN_AFTER);
            }
            asked => return asked,
        }
    }
}

fn is_turned_away(cause: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(cause.kind(), BrokenPipe | ConnectionReset | UnexpectedEof)
}

fn ask_once(
    path: &Path,
    line: &str,
    patience: Patience,
    since: Instant,
) -> Result<(Answer, Speaks), ClientError> {
    let failed = |cause: io::Error| match cause.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            ClientError::Silent { path: path.to_owned(), within: patience.answer }
        }
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NobodyThere(path.to_owned())
        }
        io::ErrorKind::PermissionDenied => ClientError::NotAllowed { path: path.to_owned(), cause },
        _ => ClientError::Unusable { path: path.to_owned(), cause },
    };
    let mut stream = connect(path, patience.connect, since).map_err(failed)?;
    stream.set_write_timeout(Some(patience.answer)).map_err(failed)?;
    stream.set_read_timeout(Some(patience.answer)).map_err(failed)?;
    stream.write_all(line.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    let most = u64::try_from(LONGEST_STATUS + 1).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(stream.take(most));
    reader.read_until(b'\n', &mut answer).map_err(failed)?;
    if answer.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::UnexpectedEof, "it ended without an answer")));
    }
    let (answer, speaks) = Answer::parse(&answer)?;
    if matches!(answer, Answer::Done(_)) {
        // The connection ends with the process; a reset is an end, too, and so is our patience.
        let _ = reader.read_until(b'\n', &mut Vec::new());
    }
    Ok((answer, speaks))
}

/// Without waiting endlessly where the agent is hung and its queue full.
fn connect(path: &Path, within: Duration, since: Instant) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    let address = SockAddr::unix(path)?;
    while let Err(cause) = socket.connect(&address) {
        let full = cause.raw_os_error() == Some(Errno::EAGAIN as i32);
        if !full || since.elapsed() >= within {
            return Err(cause);
        }
        std::thread::sleep(AGAIN_AFTER);
    }
    socket.set_nonblocking(false)?;
    Ok(socket.into())
}
