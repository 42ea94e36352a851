//! Packets that still arrive for the VIP after it has left: kept for a moment, and passed on to the new holder.
//!
//! Between the address going here and the new holder's announcement lie a few milliseconds. A client whose SYN comes
//! then is answered by nobody, and TCP sends the next one only after a second (RFC 6298 section 2). So the frames are
//! kept by the kernel, in order, and sent on as they are once the new holder is heard; what still comes in the next
//! second, from clients that have not heard it, goes on at once. Data of old connections goes on too: the new holder's
//! kernel resets them, which is what their clients need.
//!
//! Bounded in bytes, number and time by the limits below. It is layer 2 alone: the
//! time to live is not touched, so two hosts that pass on to each other must not be. They can't: one passes on only
//! after it let go and heard the other announce, and stops when it adds the address itself; and nothing goes back to
//! the MAC it came from.

use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use decide::net::Mac;
use linux::packet_keeper::{FrameKeeper, PassedOn};
use linux::packet_socket::PacketSocketError;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Bytes kept at most, in the kernel's counting: some 300 small frames.
const ROOM: usize = 256 * 1024;
/// Frames passed on at most, all told: a flood is not to become ours.
const MOST: u32 = 4096;
/// Frames are kept for a new holder this long.
pub const KEPT_FOR: Duration = Duration::from_secs(5);
/// Frames are passed on this long after the new holder was heard: then every client has heard it too, or asks anew.
pub const PASSED_ON_FOR: Duration = Duration::from_secs(1);

/// Late packets can't be kept or passed on. The VIP leaves all the same: some clients need a second longer.
#[derive(Debug, thiserror::Error)]
#[error(
    "late packets for {vip} can't be passed on to its new holder: {source}; clients that connect while it moves wait \
     a second longer"
)]
pub struct LatePacketsError {
    /// The VIP.
    vip: IpAddr,
    /// Why; it names the interface and the remedy.
    source: PacketSocketError,
}

/// The late packets of one VIP.
#[derive(Debug, Default)]
pub struct LatePackets {
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    vip: IpAddr,
    /// Gone when the task that closes it has.
    keeper: Weak<FrameKeeper>,
    orders: watch::Sender<Order>,
}

/// What the task is to do; it ends when the sender is gone.
#[derive(Clone, Copy, Debug)]
struct Order {
    to: Option<wire::Mac>,
    passed_on: u32,
}

impl LatePackets {
    /// Begins to keep what arrives at `interface` for `vip`, from the moment this returns; what was kept before is dropped. It
    /// does not wait. Called before the address goes; packets that this host takes in itself until then are kept and passed
    /// on as well, which costs their connection the reset that it gets anyway.
    ///
    /// `ended` hears at the end how many frames went on, or why it ended early. Within a tokio runtime.
    pub fn keep(
        &mut self,
        interface: &str,
        vip: IpAddr,
        ended: impl FnOnce(Result<u32, LatePacketsError>) + Send + 'static,
    ) -> Result<(), LatePacketsError> {
        self.end();
        let keeper =
            FrameKeeper::open(interface, vip, ROOM).map_err(|source| LatePacketsError { vip, source })?;
        let keeper = Arc::new(keeper);
        let (orders, told) = watch::channel(Order { to: None, passed_on: 0 });
        self.kept = Some(Kept { vip, keeper: Arc::downgrade(&keeper), orders });
        tokio::spawn(async move {
            let outcome = serve(&keeper, told).await;
            // Closing a packet socket waits for the kernel: not in the agent's thread.
            drop(tokio::task::spawn_blocking(move || drop(keeper)));
            ended(outcome.map_err(|source| LatePacketsError { vip, source }));
        });
        Ok(())
    }

    /// Passes on what was kept, now, and what comes within [`PASSED_ON_FOR`] as it comes. Nothing is done where nothing is
    /// kept, or `to` is this interface's own MAC or no single host's.
    pub fn pass_on(&mut self, to: Mac) -> Result<(), LatePacketsError> {
        // Closed: it is over, though what was kept may not have been dropped yet.
        let Some(kept) = self.kept.as_ref().filter(|kept| !kept.orders.is_closed()) else { return Ok(()) };
        let Some(keeper) = kept.keeper.upgrade() else { return Ok(()) };
        let to = wire::Mac(to.0);
        if to == keeper.mac() || !to.is_one_host() {
            return Ok(());
        }
        // Here and not in the task: the agent's loop has other things to do before the task's turn comes.
        let mut passed_on = kept.orders.borrow().passed_on;
        let done = pass_on_all(&keeper, to, &mut passed_on, || false);
        kept.orders.send_replace(Order { to: Some(to), passed_on });
        done.map_err(|source| LatePacketsError { vip: kept.vip, source })
    }

    /// Ends it: nothing is kept or passed on any more. To be called before the VIP is added here.
    pub fn end(&mut self) {
        self.kept = None;
    }
}

/// Passes on what is there; stops at [`MOST`], and when it is `over`.
fn pass_on_all(
    keeper: &FrameKeeper,
    to: wire::Mac,
    passed_on: &mut u32,
    over: impl Fn() -> bool,
) -> Result<(), PacketSocketError> {
    while *passed_on < MOST && !over() {
        match keeper.pass_on_one(to)? {
            PassedOn::Yes => *passed_on += 1,
            PassedOn::Dropped => {}
            PassedOn::NoneLeft => break,
        }
    }
    Ok(())
}

/// Gives how many were passed on.
async fn serve(keeper: &FrameKeeper, mut orders: watch::Receiver<Order>) -> Result<u32, PacketSocketError> {
    // Too long without a new holder, or ended: what was kept is dropped with the socket.
    let until = Instant::now() + KEPT_FOR;
    let heard = timeout_at(until, orders.wait_for(|order| order.to.is_some())).await;
    let Ok(Ok(order)) = heard.map(|heard| heard.map(|order| *order)) else { return Ok(0) };
    let Order { to: Some(to), mut passed_on } = order else { return Ok(0) };
    let until = Instant::now() + PASSED_ON_FOR;
    let over = || orders.has_changed().is_err() || Instant::now() >= until;
    loop {
        pass_on_all(keeper, to, &mut passed_on, over)?;
        if passed_on >= MOST || over() {
            return Ok(passed_on);
        }
        let mut ends = orders.clone();
        tokio::select! {
            biased;
            // Fails when the sender is gone.
            _ = ends.wait_for(|order| order.to != Some(to)) => return Ok(passed_on),
            ready = timeout_at(until, keeper.ready()) => match ready {
                Ok(ready) => ready?,
                Err(_) => return Ok(passed_on),
            },
        }
    }
}
