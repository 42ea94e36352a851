//! The addresses of all hosts of a lab, read by one thread.
//!
//! Two processes that tell of two hosts tell of one moment at two times: on a busy machine one of them may be held up for some
//! milliseconds, and an address that had gone before it came elsewhere seems to have been in two places. One reader tells in
//! order: what one host's kernel said before another's is taken before it, or at the same moment. Two holders at the same moment
//! for less than its own delay are not seen, so it watches its delay too.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::WitnessError;
use super::addresses::{Listener, be_prompt};
use crate::record::{Recorded, What};

/// With nothing to tell it wakes up this often, to see how late it does.
const LOOKS_AT_ITS_DELAY_EACH_MS: u16 = 10;

/// The thread, and the way to let it listen to one host more.
#[derive(Debug)]
pub(crate) struct AllAddresses {
    more: Sender<Listener>,
    wakes: Option<UnixStream>,
    latest_us: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl AllAddresses {
    /// Starts the thread; it tells all it sees to `told`.
    ///
    /// # Errors
    /// The system gives no thread or no socket.
    pub(crate) fn start(told: Sender<Recorded>) -> io::Result<Self> {
        let (wakes, woken) = UnixStream::pair()?;
        woken.set_nonblocking(true)?;
        let (more, listeners) = channel();
        let latest_us = Arc::new(AtomicU64::new(0));
        let reader =
            Reader { listeners, woken, listening: Vec::new(), told, latest_us: Arc::clone(&latest_us) };
        let thread = thread::Builder::new().name("addresses".into()).spawn(move || reader.run())?;
        Ok(Self { more, wakes: Some(wakes), latest_us, thread: Some(thread) })
    }

    /// Listens to this host's addresses too. Who was listened to under the same name no longer is.
    pub(crate) fn listen(&self, listener: Listener) {
        // Fails only where the thread has ended, which it told before.
        if self.more.send(listener).is_ok() {
            let _ = self.wakes.as_ref().map(|mut wakes| io::Write::write_all(&mut wakes, &[0]));
        }
    }

    /// How late it was at most, of all the times it looked: so long may two hosts have had an address together unseen.
    pub(crate) fn latest(&self) -> Duration {
        Duration::from_micros(self.latest_us.load(Ordering::Relaxed))
    }
}

impl Drop for AllAddresses {
    fn drop(&mut self) {
        // The thread ends when the other end of its socket is gone.
        self.wakes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Reader {
    listeners: Receiver<Listener>,
    woken: UnixStream,
    listening: Vec<Listener>,
    told: Sender<Recorded>,
    latest_us: Arc<AtomicU64>,
}

impl Reader {
    fn run(mut self) {
        let told = self.told.clone();
        let mut tell = |recorded: &Recorded| tell_to(&told, recorded);
        let mut ended = be_prompt("lab", &mut tell).map(|()| false);
        while matches!(ended, Ok(false)) {
            ended = self.turn(&mut tell);
        }
        if let Err(cause) = ended {
            let line = format!("the addresses are no longer watched: {cause}");
            let _ = tell(&Recorded::now("lab", What::Said { line }));
        }
    }

    /// Waits, and tells what there is. Gives whether it is to end.
    fn turn(
        &mut self,
        tell: &mut impl FnMut(&Recorded) -> Result<(), WitnessError>,
    ) -> Result<bool, WitnessError> {
        let since = Instant::now();
        let mut wanted = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        wanted.extend(self.listening.iter().map(|one| PollFd::new(one.as_fd(), PollFlags::POLLIN)));
        match poll(&mut wanted, PollTimeout::from(LOOKS_AT_ITS_DELAY_EACH_MS)) {
            Ok(0) => {
                let wanted = Duration::from_millis(u64::from(LOOKS_AT_ITS_DELAY_EACH_MS));
                let late = since.elapsed().saturating_sub(wanted);
                self.latest_us
                    .fetch_max(u64::try_from(late.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(cause) => {
                return Err(WitnessError::kernel("waiting for the kernel's addresses")(cause.into()));
            }
        }
        self.take_all()?.iter().try_for_each(&mut *tell)?;
        let mut byte = [0; 16];
        let ended = matches!((&self.woken).read(&mut byte), Ok(0));
        for listener in self.listeners.try_iter() {
            self.listening.retain(|known| known.who() != listener.who());
            self.listening.push(listener);
        }
        Ok(ended)
    }

    /// All that the kernels have said by now. What one said before another is there once the other's word has been read: until nothing
    /// more is, all of it counts as of one moment.
    fn take_all(&mut self) -> Result<Vec<Recorded>, WitnessError> {
        let mut all = Vec::new();
        let mut keep = |recorded: &Recorded| {
            all.push(recorded.clone());
            Ok(())
        };
        loop {
            let mut any = false;
            for listener in &mut self.listening {
                any |= listener.take_what_is_there(&mut keep)?;
            }
            if !any {
                break;
            }
        }
        let at_us = all.last().map_or(0, |last| last.at_us);
        for recorded in &mut all {
            recorded.at_us = at_us;
        }
        Ok(all)
    }
}

fn tell_to(told: &Sender<Recorded>, recorded: &Recorded) -> Result<(), WitnessError> {
    told.send(recorded.clone()).map_err(|_| WitnessError::Output(io::ErrorKind::BrokenPipe.into()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn two_sockets_of_one_network_tell_of_the_same_moment_and_one_name_is_listened_to_once() {
        // Of the machine's own network, which is read here and not touched.
        let (sender, told) = channel();
        let all = AllAddresses::start(sender).unwrap();
        // One after the other: whoever is listened to anew under its name may not have told anything yet.
        let mut seen = Vec::new();
        for who in ["db1", "db2", "db1"] {
            all.listen(Listener::open(who).unwrap());
            seen.push(loop {
                let recorded = told.recv_timeout(Duration::from_secs(10)).unwrap();
                if let What::Addresses(present) = recorded.what {
                    assert_eq!(recorded.who, who);
                    break present;
                }
            });
        }
        assert!(!seen[0].is_empty() && seen[0] == seen[2], "loopback at least is there: {seen:?}");
        drop(all);
        assert!(told.recv_timeout(Duration::from_secs(10)).is_err(), "its thread has ended");
    }
}
