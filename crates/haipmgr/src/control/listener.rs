//! The agent's end of the control socket: who is heard, and within which limits.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::message::{Answer, LONGEST_REQUEST, Request};

/// Who connects has this long to say what is wanted, and as long to take the answer.
const SPEAK_WITHIN: Duration = Duration::from_secs(2);
/// So many are heard at a time; more wait in the kernel's own queue.
const AT_A_TIME: usize = 4;
/// How often is looked whether the socket is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two attempts to accept, where the system has no descriptor to spare.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The socket can't be had.
#[derive(Debug, thiserror::Error)]
#[error("haipmgr stop does not work: cannot create the socket {}: {cause}; stop this agent with SIGTERM", path.display())]
pub struct ControlError {
    path: PathBuf,
    #[source]
    cause: io::Error,
}

/// Listens until it is dropped, which removes the socket.
#[derive(Debug)]
pub struct Listener {
    path: PathBuf,
    orders: mpsc::Receiver<Order>,
    accepting: JoinHandle<()>,
}

/// A request of somebody who may ask.
#[derive(Debug)]
pub struct Order {
    /// What is wanted.
    pub request: Request,
    /// By whom: "process 4711 of user 0".
    pub by: String,
    stream: UnixStream,
}

impl Listener {
    /// Makes the socket, in place of one that an agent left which is no more: to be called with the agent's lock held, inside
    /// a tokio runtime. Where somebody removes it (a folder under /run that is cleared) it is made anew, and `report` is told.
    ///
    /// # Errors
    /// It can't be made there, or something else than a socket is in its place.
    pub fn open(path: &Path, report: impl Fn(&str) + Send + 'static) -> Result<Self, ControlError> {
        let listener = bind(path).map_err(|cause| ControlError { path: path.to_owned(), cause })?;
        let (tell, orders) = mpsc::channel(AT_A_TIME);
        let accepting = tokio::spawn(listen(path.to_owned(), listener, tell, report));
        Ok(Self { path: path.to_owned(), orders, accepting })
    }

    /// The next request. Never comes back where nobody asks.
    pub async fn next(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        // Left behind it does no harm: nobody listens there, and the next agent puts its own in its place.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Order {
    /// Answers, and ends the connection: the agent goes on.
    pub async fn answer_and_go_on(mut self, answer: &Answer) {
        write(&mut self.stream, answer).await;
    }

    /// Answers, and leaves the connection open until this process ends: its end tells the other side that the agent is no
    /// more.
    pub async fn answer(mut self, answer: &Answer) {
        write(&mut self.stream, answer).await;
        std::mem::forget(self.stream);
    }
}

fn bind(path: &Path) -> io::Result<UnixListener> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::other("it is not a socket; remove it")),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Accepts whoever connects, and makes the socket anew where it is gone.
async fn listen(
    path: PathBuf,
    mut listener: UnixListener,
    tell: mpsc::Sender<Order>,
    report: impl Fn(&str) + Send + 'static,
) {
    let room = Arc::new(Semaphore::new(AT_A_TIME));
    let mut said = false;
    loop {
        tokio::select! {
            () = accept(&listener, &room, &tell) => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        if path.exists() {
            said = false;
            continue;
        }
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let text = match folder.and_then(|()| bind(&path)) {
            Ok(anew) => {
                listener = anew;
                format!(
                    "{} was removed while the agent runs, perhaps with its whole folder, and is made anew; leave it alone: haipmgr stop needs it",
                    path.display()
                )
            }
            Err(cause) => format!(
                "{} was removed while the agent runs, and can't be made anew ({cause}): stop this agent with SIGTERM, and start it again",
                path.display()
            ),
        };
        if !said {
            report(&text);
        }
        said = true;
    }
}

async fn accept(listener: &UnixListener, room: &Arc<Semaphore>, tell: &mpsc::Sender<Order>) {
    // The semaphore is never closed.
    let Ok(place) = Arc::clone(room).acquire_owned().await else { return };
    match listener.accept().await {
        Ok((stream, _)) => {
            let tell = tell.clone();
            tokio::spawn(async move {
                hear(stream, &tell).await;
                drop(place);
            });
        }
        Err(_) => tokio::time::sleep(ACCEPT_AGAIN_AFTER).await,
    }
}

async fn hear(mut stream: UnixStream, tell: &mpsc::Sender<Order>) {
    let by = match who_may_ask(&stream) {
        Ok(by) => by,
        Err(refused) => return write(&mut stream, &Answer::Failed(refused)).await,
    };
    let mut line = Vec::new();
    let most = u64::try_from(LONGEST_REQUEST + 1).unwrap_or(u64::MAX);
    let mut reader = BufReader::new((&mut stream).take(most));
    match timeout(SPEAK_WITHIN, reader.read_until(b'\n', &mut line)).await {
        Ok(Ok(_)) => {}
        // Nobody is there to be answered, or nobody who speaks.
        Ok(Err(_)) | Err(_) => return,
    }
    match Request::parse(&line) {
        // Fails only when the agent is ending.
        Ok(request) => drop(tell.send(Order { request, by, stream }).await),
        Err(bad) => write(&mut stream, &Answer::Failed(bad.to_string())).await,
    }
}

/// The kernel's word on who connected. The socket's mode keeps others away; this does so where a mode means little.
fn who_may_ask(stream: &UnixStream) -> Result<String, String> {
    let peer = stream.peer_cred().map_err(|error| format!("cannot see which process asks: {error}"))?;
    let own = nix::unistd::geteuid().as_raw();
    if peer.uid() == 0 || peer.uid() == own {
        let process = peer.pid().map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
        return Ok(format!("{process} of user {}", peer.uid()));
    }
    Err(format!(
        "user {} may not stop this agent: only root and the agent's own user ({own}) may",
        peer.uid()
    ))
}

async fn write(stream: &mut UnixStream, answer: &Answer) {
    let line = answer
        .line()
        .or_else(|_| Answer::Failed("the answer is too long; see the agent's log".to_owned()).line())
        .unwrap_or_default();
    // Who does not take the answer does without it.
    let _ = timeout(SPEAK_WITHIN, stream.write_all(line.as_bytes())).await;
}
