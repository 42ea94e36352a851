//! A host's addresses, from the kernel's own notifications.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_packet_core::{NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use thread_priority::{
    RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue, ThreadSchedulePolicy,
    set_thread_priority_and_policy, thread_native_id,
};

use super::{Tell, WitnessError};
use crate::record::{Address, Recorded, What, now_us};

/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR`, rtnetlink(7).
const ADDRESS_GROUPS: u32 = 0x10 | 0x100;

/// Bytes of notifications that the kernel keeps for us: thousands of them.
const RECEIVE_BUFFER: u32 = 1 << 20;

/// Tells the addresses that are there, then each change, until something fails.
pub(super) fn watch(who: &str, tell: &mut Tell<'_>) -> Result<(), WitnessError> {
    be_prompt(who, tell)?;
    let mut listener = Listener::open(who)?;
    loop {
        listener.wait()?;
        listener.take_what_is_there(tell)?;
    }
}

/// Two hosts' times are compared to the millisecond while everything else competes for the processor. Without the
/// privilege (an ordinary user's lab) it goes on with what it gets.
pub(super) fn be_prompt(who: &str, tell: &mut Tell<'_>) -> Result<(), WitnessError> {
    let Ok(value) = ThreadPriorityValue::try_from(50_u8) else { return Ok(()) };
    let policy = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    match set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(value), policy) {
        Ok(()) => Ok(()),
        Err(cause) => {
            let line =
                format!("no real-time priority for the address witness ({cause}); its times may be late");
            tell(&Recorded::now(who, What::Said { line }))
        }
    }
}

fn ask(socket: &Socket) -> Result<(), WitnessError> {
    let mut request = AddressMessage::default();
    request.header.family = AddressFamily::Unspec;
    let mut header = NetlinkHeader::default();
    header.flags = NLM_F_REQUEST | NLM_F_DUMP;
    let mut message =
        NetlinkMessage::new(header, NetlinkPayload::from(RouteNetlinkMessage::GetAddress(request)));
    message.finalize();
    let mut bytes = vec![0_u8; message.buffer_len()];
    message.serialize(&mut bytes);
    socket
        .send_to(&bytes, &SocketAddr::new(0, 0), 0)
        .map(drop)
        .map_err(WitnessError::kernel("asking for the addresses"))
}

/// A netlink socket of one host, and what it has told so far.
pub(crate) struct Listener {
    who: String,
    socket: Socket,
    present: BTreeMap<(u32, IpAddr, u8), Address>,
    /// The first answers are gathered, and told as one.
    dumping: bool,
}

impl Listener {
    /// Listens to the addresses of the network namespace that the calling thread is in, and asks which are there.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub(crate) fn open(who: &str) -> Result<Self, WitnessError> {
        let mut socket =
            Socket::new(NETLINK_ROUTE).map_err(WitnessError::kernel("opening a netlink socket"))?;
        socket.set_rx_buf_sz(RECEIVE_BUFFER).map_err(WitnessError::kernel("enlarging the netlink buffer"))?;
        socket.set_non_blocking(true).map_err(WitnessError::kernel("setting up a netlink socket"))?;
        // Listening begins before the addresses are asked for, so that no change falls between the two.
        socket
            .bind(&SocketAddr::new(0, ADDRESS_GROUPS))
            .map_err(WitnessError::kernel("listening to the kernel's addresses"))?;
        ask(&socket)?;
        Ok(Self { who: who.to_owned(), socket, present: BTreeMap::new(), dumping: true })
    }

    /// Whose addresses they are.
    pub(crate) fn who(&self) -> &str {
        &self.who
    }

    /// Waits for something to take.
    fn wait(&self) -> Result<(), WitnessError> {
        let mut wanted = [PollFd::new(self.as_fd(), PollFlags::POLLIN)];
        match poll(&mut wanted, PollTimeout::NONE) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(cause) => Err(WitnessError::kernel("waiting for the kernel's addresses")(cause.into())),
        }
    }

    /// Tells all that lies unread, and gives whether there was anything. Does not wait.
    ///
    /// # Errors
    /// The kernel, or who is told.
    pub(crate) fn take_what_is_there(&mut self, tell: &mut Tell<'_>) -> Result<bool, WitnessError> {
        let mut any = false;
        loop {
            match self.socket.recv_from_full() {
                Ok((bytes, _)) => self.take(&bytes, now_us(), tell)?,
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) if cause.raw_os_error() == Some(libc::ENOBUFS) => self.begin_anew(tell)?,
                Err(cause) => return Err(WitnessError::kernel("reading the kernel's addresses")(cause)),
            }
            any = true;
        }
    }

    fn begin_anew(&mut self, tell: &mut Tell<'_>) -> Result<(), WitnessError> {
        self.present.clear();
        self.dumping = true;
        let line = "address notifications were lost; asking anew".into();
        tell(&Recorded::now(self.who.as_str(), What::Said { line }))?;
        ask(&self.socket)
    }

    fn take(&mut self, bytes: &[u8], at_us: u64, tell: &mut Tell<'_>) -> Result<(), WitnessError> {
        let mut rest = bytes;
        while let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest) {
            let length = message.header.length as usize;
            if let Some(what) = self.news(message.payload) {
                tell(&Recorded { at_us, who: self.who.clone(), what })?;
            }
            // Messages of one datagram are aligned to four bytes, netlink(3).
            match rest.get(length.max(1).next_multiple_of(4)..) {
                Some(further) if !further.is_empty() => rest = further,
                _ => break,
            }
        }
        Ok(())
    }

    fn news(&mut self, payload: NetlinkPayload<RouteNetlinkMessage>) -> Option<What> {
        match payload {
            NetlinkPayload::Done(_) if self.dumping => {
                self.dumping = false;
                Some(What::Addresses(self.present.values().cloned().collect()))
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(new)) => understand(&new)
                .filter(|(key, address)| self.present.insert(*key, address.clone()).is_none())
                .map(|(_, address)| What::AddressAdded(address))
                .filter(|_| !self.dumping),
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(old)) => understand(&old)
                .and_then(|(key, _)| self.present.remove(&key))
                .map(What::AddressRemoved)
                .filter(|_| !self.dumping),
            _ => None,
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn understand(message: &AddressMessage) -> Option<((u32, IpAddr, u8), Address)> {
    let (mut local, mut address, mut label) = (None, None, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            AddressAttribute::Label(text) => label = Some(text.as_str()),
            _ => {}
        }
    }
    let (ip, prefix, index) = (local.or(address)?, message.header.prefix_len, message.header.index);
    // The label is the interface's name, followed by ":" and more where somebody gave it one. IPv6 has none.
    let interface = label.and_then(|label| label.split(':').next()).map(str::to_owned);
    let name = || Some(nix::net::if_::if_indextoname(index).ok()?.to_string_lossy().into_owned());
    let interface = interface.or_else(name).unwrap_or_else(|| format!("interface {index}"));
    Some(((index, ip, prefix), Address { address: ip, prefix, interface }))
}
