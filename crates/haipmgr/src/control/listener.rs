//! The agent's end of the control socket: who is heard, and within which limits.
//!
//! It has a thread of its own, an ordinary one: whoever connects, however often, takes no time from the thread that decides.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use linux::peer_groups::peer_groups;
use nix::unistd::Gid;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use super::desk::{self, Doors};
use super::group::number_of;
use super::message::{Answer, LONGEST_REQUEST, Request, Speaks, speaks};
use crate::self_protection::as_ordinary_thread;

/// Who connects has this long to say what is wanted, and as long to take the answer.
const SPEAK_WITHIN: Duration = Duration::from_secs(2);
/// So many of those who may order are heard at a time …
const ROOM_TO_ORDER: usize = 16;
/// … and so many of those who may only read: they keep no place from the others. Whoever finds no room is turned away, and asks again.
const ROOM_TO_READ: usize = 16;
/// Orders that wait for the agent.
const ORDERS: usize = 4;
/// How often is looked whether the socket is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Between two attempts to accept, where the system has no descriptor to spare.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Whose members may read, where the agent may give the socket to it.
const READERS: &str = "haipmgr";
/// Who of them may order too: members of this group.
const OPERATORS: &str = "haipmgr-operators";
/// Only what is touched costs memory.
const STACK: usize = 1 << 20;

/// The socket can't be had.
#[derive(Debug, thiserror::Error)]
#[error("haipmgr stop, drain, reload and status do not work: cannot create the socket {}: {cause}; stop this agent with SIGTERM", path.display())]
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
    /// Dropped, the thread ends.
    stop: Option<oneshot::Sender<()>>,
}

/// A request of somebody who may ask.
#[derive(Debug)]
pub struct Order {
    /// What is wanted.
    pub request: Request,
    /// By whom: "process 4711 of user 0".
    pub by: String,
    speaks: Speaks,
    stream: UnixStream,
    /// Its place among those who are heard.
    _place: OwnedSemaphorePermit,
}

impl Listener {
    /// Makes the socket, in place of one that an agent left which is no more: to be called with the agent's lock held. Where somebody
    /// removes it (a folder under /run that is cleared) it is made anew, and `report` is told. Who asks how the agent is, is answered
    /// through the `doors`.
    ///
    /// # Errors
    /// It can't be made there, or something else than a socket is in its place; or the system gives no thread.
    pub fn open(
        path: &Path,
        doors: Doors,
        report: impl Fn(&str) + Send + 'static,
    ) -> Result<Self, ControlError> {
        let failed = |cause| ControlError { path: path.to_owned(), cause };
        let listener = bind(path).map_err(failed)?;
        // Here, and not in the thread: where a process is started for it, that is done before this one can end.
        let operators = number_of(OPERATORS);
        let (tell, orders) = mpsc::channel(ORDERS);
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let socket = path.to_owned();
        let work = move || {
            runtime.block_on(async move {
                let (ask, asked) = mpsc::channel(ROOM_TO_ORDER + ROOM_TO_READ);
                tokio::select! {
                    biased;
                    // The sender is never used, only dropped.
                    _ = stopped => {}
                    () = desk::answer_all(doors, asked) => {}
                    () = listen(socket, listener, Hearing::new(tell, ask, operators), report) => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("control".to_owned()).stack_size(STACK);
        thread.spawn(|| as_ordinary_thread(work)).map_err(failed)?;
        Ok(Self { path: path.to_owned(), orders, stop: Some(stop) })
    }

    /// The next request that is not only to read. Never comes back where nobody asks.
    pub async fn next(&mut self) -> Order {
        match self.orders.recv().await {
            Some(order) => order,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // First, or the thread makes anew what is removed here.
        drop(self.stop.take());
        // Left behind it does no harm: nobody listens there, and the next agent puts its own in its place.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Order {
    /// Answers, and ends the connection: the agent goes on.
    pub async fn answer_and_go_on(mut self, answer: &Answer) {
        write(&mut self.stream, answer, self.speaks).await;
    }

    pub(super) async fn answer_and_go_on_with(self, answer: Answer) {
        self.answer_and_go_on(&answer).await;
    }

    /// Answers, and leaves the connection open until this process ends: its end tells the other side that the agent is no
    /// more.
    pub async fn answer(mut self, answer: &Answer) {
        write(&mut self.stream, answer, self.speaks).await;
        std::mem::forget(self.stream);
    }
}

/// For whom the socket's mode is: members of the readers' group, where there is one that it can be given to; otherwise its owner alone.
fn bind(path: &Path) -> io::Result<StdListener> {
    match std::fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => std::fs::remove_file(path)?,
        Ok(_) => return Err(io::Error::other("it is not a socket; remove it")),
        Err(_) => {}
    }
    let listener = StdListener::bind(path)?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    if let Some(readers) = number_of(READERS) {
        // The packaged agent is of that group already, and may not give a file away.
        let is_theirs = std::fs::metadata(path)?.gid() == readers;
        if is_theirs || nix::unistd::chown(path, None, Some(Gid::from_raw(readers))).is_ok() {
            std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
        }
    }
    Ok(listener)
}

/// Where requests go, and how many are heard at a time.
struct Hearing {
    orders: mpsc::Sender<Order>,
    questions: mpsc::Sender<Order>,
    room_to_order: Arc<Semaphore>,
    room_to_read: Arc<Semaphore>,
    /// The operators' group, where there is one.
    operators: Option<u32>,
}

/// Who connected, by the kernel's word.
struct Peer {
    words: String,
    uid: u32,
    may_order: bool,
}

impl Hearing {
    fn new(orders: mpsc::Sender<Order>, questions: mpsc::Sender<Order>, operators: Option<u32>) -> Self {
        let room = |places| Arc::new(Semaphore::new(places));
        let (room_to_order, room_to_read) = (room(ROOM_TO_ORDER), room(ROOM_TO_READ));
        Self { orders, questions, room_to_order, room_to_read, operators }
    }

    /// Hears one connection in a task of its own, if there is room.
    fn hear(&self, stream: UnixStream) {
        // Whom the kernel does not name is not heard.
        let Ok(peer) = Peer::of(&stream, self.operators) else { return };
        let room = if peer.may_order { &self.room_to_order } else { &self.room_to_read };
        let Ok(place) = Arc::clone(room).try_acquire_owned() else { return };
        let (orders, questions) = (self.orders.clone(), self.questions.clone());
        tokio::spawn(async move {
            let Some(order) = read(stream, &peer, place).await else { return };
            let to = if order.request.only_reads() { questions } else { orders };
            // Fails only when the agent is ending.
            drop(to.send(order).await);
        });
    }
}

impl Peer {
    /// `operators`: the group of those who may order, beside root and the agent's own user.
    fn of(stream: &UnixStream, operators: Option<u32>) -> io::Result<Self> {
        let peer = stream.peer_cred()?;
        let process = peer.pid().map_or_else(|| "a process".to_owned(), |pid| format!("process {pid}"));
        let owns = peer.uid() == 0 || peer.uid() == nix::unistd::geteuid().as_raw();
        Ok(Self {
            words: format!("{process} of user {}", peer.uid()),
            uid: peer.uid(),
            may_order: owns || operators.is_some_and(|group| is_operator(group, peer.gid(), stream)),
        })
    }

    /// That it may not, in words; none where it may.
    fn is_refused(&self, request: &Request) -> Option<String> {
        (!self.may_order && !request.only_reads()).then(|| {
            format!(
                "user {} may not order this agent anything: only root, the agent's own user ({}) and the group {OPERATORS} may; haipmgr status is open to the group {READERS}",
                self.uid,
                nix::unistd::geteuid()
            )
        })
    }
}

/// Whether who connected, with this first group, is of that one. Whose groups the kernel does not tell is of none.
fn is_operator(group: u32, first: u32, stream: &UnixStream) -> bool {
    first == group || peer_groups(stream).is_ok_and(|groups| groups.contains(&group))
}

/// Accepts whoever connects, and makes the socket anew where it is gone.
async fn listen(
    path: PathBuf,
    listener: StdListener,
    hearing: Hearing,
    report: impl Fn(&str) + Send + 'static,
) {
    let Ok(mut listener) = UnixListener::from_std(listener) else {
        return report("the control socket can't be listened at: stop this agent with SIGTERM");
    };
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut said = false;
    loop {
        tokio::select! {
            () = accept(&listener, &hearing) => continue,
            _ = look.tick() => {}
        }
        if path.exists() {
            said = false;
            continue;
        }
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let text = match folder.and_then(|()| bind(&path)).and_then(UnixListener::from_std) {
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

async fn accept(listener: &UnixListener, hearing: &Hearing) {
    match listener.accept().await {
        Ok((stream, _)) => hearing.hear(stream),
        Err(_) => tokio::time::sleep(ACCEPT_AGAIN_AFTER).await,
    }
}

/// The request of one that may make it; whoever may not, or asks what is not known, is answered here.
async fn read(mut stream: UnixStream, peer: &Peer, place: OwnedSemaphorePermit) -> Option<Order> {
    let mut line = Vec::new();
    let most = u64::try_from(LONGEST_REQUEST + 1).unwrap_or(u64::MAX);
    let mut reader = BufReader::new((&mut stream).take(most));
    // An error or silence: nobody is there to be answered, or nobody who speaks.
    timeout(SPEAK_WITHIN, reader.read_until(b'\n', &mut line)).await.ok()?.ok()?;
    let (refusal, speaks) = match Request::parse(&line) {
        Ok((request, speaks)) => match peer.is_refused(&request) {
            None => return Some(Order { request, by: peer.words.clone(), speaks, stream, _place: place }),
            Some(refusal) => (refusal, speaks),
        },
        Err(bad) => (bad.to_string(), speaks(&line)),
    };
    write(&mut stream, &Answer::Failed(refusal), speaks).await;
    None
}

async fn write(stream: &mut UnixStream, answer: &Answer, to: Speaks) {
    const TOO_LONG: &str =
        "the answer is too long; ask for one cluster with --cluster, or see the agent's log";
    let line = answer.line(to).or_else(|_| Answer::Failed(TOO_LONG.to_owned()).line(to)).unwrap_or_default();
    // Who does not take the answer does without it.
    let _ = timeout(SPEAK_WITHIN, stream.write_all(line.as_bytes())).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn a_member_of_the_operators_group_may_order_and_whoever_is_in_another_may_not() {
        let (here, _other) = UnixStream::pair().unwrap();
        let (own, cred) = (nix::unistd::geteuid().as_raw(), here.peer_cred().unwrap());
        let of_none = Peer::of(&here, None).unwrap();
        assert_eq!((of_none.uid, of_none.may_order), (own, true), "the agent's own user");
        // The same process, as if its user were another.
        let groups = peer_groups(&here).unwrap();
        let is_in = |group| is_operator(group, cred.gid(), &here);
        assert!(is_in(cred.gid()) && groups.iter().all(|group| is_in(*group)));
        let another = (1..=u32::MAX).find(|group| *group != cred.gid() && !groups.contains(group)).unwrap();
        assert!(!is_in(another));
    }
}
