//! A segment of its own for one test: a bridge in one network namespace, hosts in others. Everything is gone when it
//! is dropped: a namespace lives as long as the thread in it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub(crate) mod vip;

use std::fs::File;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use decide::net::Mac;
use futures_util::TryStreamExt as _;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::sched::{CloneFlags, unshare};
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoBridge, InfoData, InfoVeth, LinkAttribute};
use rtnetlink::{AddressMessageBuilder, Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth};
use tokio::runtime::Builder;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// The interface of every host.
pub const INTERFACE: &str = "eth0";
/// Nothing on a segment of this machine takes longer.
pub const LIMIT: Duration = Duration::from_secs(5);

type Task = Box<dyn FnOnce(Handle) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// A thread in its own network namespace, with a tokio runtime that goes on between calls.
pub struct Host {
    tasks: Option<UnboundedSender<Task>>,
    namespace: File,
    thread: Option<JoinHandle<()>>,
}

impl Host {
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "this test makes network namespaces and needs root: run `sudo -E cargo test -p haipmgr`"
        );
        let (tasks, mut todo) = unbounded_channel::<Task>();
        let (give, take) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace of its own (needs CAP_SYS_ADMIN)");
            give.send(File::open("/proc/thread-self/ns/net").expect("this thread's namespace"))
                .expect("sent");
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let (connection, handle, _) = rtnetlink::new_connection().expect("netlink");
                tokio::spawn(connection);
                while let Some(task) = todo.recv().await {
                    task(handle.clone()).await;
                }
            });
            runtime.shutdown_timeout(Duration::from_secs(1));
        });
        let namespace = take.recv().expect("the host's thread is up");
        let host = Self { tasks: Some(tasks), namespace, thread: Some(thread) };
        host.link_up("lo");
        host
    }

    /// Runs this in the host's namespace, and waits for it. What it spawns goes on.
    pub fn run<Out, Fut>(&self, task: impl FnOnce(Handle) -> Fut + Send + 'static) -> Out
    where
        Out: Send + 'static,
        Fut: Future<Output = Out> + 'static,
    {
        let (give, take) = mpsc::channel();
        let task: Task = Box::new(move |handle| {
            Box::pin(async move {
                let out = task(handle).await;
                let _ = give.send(out);
            })
        });
        self.tasks.as_ref().expect("alive").send(task).expect("the host's thread runs");
        take.recv_timeout(Duration::from_secs(30)).expect("the task ends, and does not panic")
    }

    pub fn link_up(&self, interface: &'static str) {
        self.change(interface, LinkMessageBuilder::up);
    }

    pub fn link_down(&self, interface: &'static str) {
        self.change(interface, LinkMessageBuilder::down);
    }

    /// Also until the kernel sends what it is given: before its carrier's coming has been worked off, an interface that is
    /// "running" still has the queue that drops everything.
    fn wait_until_running(&self, interface: String) {
        self.run(|handle| async move {
            let until = Instant::now() + LIMIT;
            while !is_running(&interface) || !sends(&handle, &interface).await {
                assert!(Instant::now() < until, "{interface} never came up");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
    }

    pub fn set_mac(&self, mac: Mac) {
        self.change(INTERFACE, move |link| link.address(mac.0.to_vec()));
    }

    fn change(
        &self,
        interface: &'static str,
        how: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec> + Send + 'static,
    ) {
        self.run(move |handle| async move {
            let index = if_nametoindex(interface).expect("the interface");
            let message = how(LinkUnspec::new_with_index(index)).build();
            handle.link().change(message).execute().await.expect("the interface is changed");
        });
    }

    pub fn delete_interface(&self) {
        self.run(|handle| async move {
            let index = if_nametoindex(INTERFACE).expect("the interface");
            handle.link().del(index).execute().await.expect("the interface is deleted");
        });
    }

    /// An IPv6 address as a VIP is added: nobody is asked first whether it is a duplicate.
    pub fn add_address(&self, address: impl Into<IpAddr>, prefix: u8) {
        let address = address.into();
        self.run(move |handle| async move {
            let index = if_nametoindex(INTERFACE).expect("the interface");
            let mut add = handle.address().add(index, address, prefix);
            if address.is_ipv6() {
                add.message_mut().header.flags = AddressHeaderFlags::Nodad;
            }
            add.execute().await.expect("the address is added");
        });
    }

    pub fn remove_address(&self, address: impl Into<IpAddr>, prefix: u8) {
        let address = address.into();
        self.run(move |handle| async move {
            let index = if_nametoindex(INTERFACE).expect("the interface");
            let message = match address {
                IpAddr::V4(address) => {
                    AddressMessageBuilder::<Ipv4Addr>::new().index(index).address(address, prefix).build()
                }
                IpAddr::V6(address) => {
                    AddressMessageBuilder::<Ipv6Addr>::new().index(index).address(address, prefix).build()
                }
            };
            handle.address().del(message).execute().await.expect("the address is removed");
        });
    }

    /// Its addresses of IPv6 are usable at once from now on, the link-local one too.
    pub fn detect_no_duplicates(&self) {
        self.run(|_| async {
            std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0").expect("the setting is written");
        });
    }
}

fn is_running(interface: &str) -> bool {
    getifaddrs()
        .expect("the interfaces")
        .any(|found| found.interface_name == interface && found.flags.contains(InterfaceFlags::IFF_RUNNING))
}

async fn sends(handle: &Handle, interface: &str) -> bool {
    let mut links = std::pin::pin!(handle.link().get().match_name(interface).execute());
    let link = links.try_next().await.expect("the interfaces").expect("the interface");
    !link
        .attributes
        .iter()
        .any(|attribute| matches!(attribute, LinkAttribute::Qdisc(queue) if queue == "noop"))
}

impl Drop for Host {
    fn drop(&mut self) {
        self.tasks = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A bridge, to which hosts are joined.
pub struct Segment {
    switch: Host,
    joined: u32,
}

impl Segment {
    pub fn new() -> Self {
        let switch = Host::new();
        switch.run(|handle| async move {
            handle.link().add(LinkBridge::new("br0").build()).execute().await.expect("a bridge");
        });
        switch.link_up("br0");
        Self { switch, joined: 0 }
    }

    /// A switch that looks at who is in which group of IPv6, and lets through accordingly (MLD snooping, with a querier).
    pub fn snooping() -> Self {
        let segment = Self::new();
        segment.switch.run(|handle| async move {
            let index = if_nametoindex("br0").expect("the bridge");
            // A query needs a sender.
            let mut add = handle.address().add(index, Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(), 64);
            add.message_mut().header.flags = AddressHeaderFlags::Nodad;
            add.execute().await.expect("the bridge has an address");
            // It goes by what it knows once a query could have been answered: in 10 ms, where that is set before.
            for how in [InfoBridge::MulticastQueryResponseInterval(1), InfoBridge::MulticastQuerier(true)] {
                let how = InfoData::Bridge(vec![how]);
                let bridge = LinkBridge::new("br0").index(index).set_info_data(how).build();
                handle.link().change(bridge).execute().await.expect("the bridge is set");
            }
        });
        segment
    }

    /// A host with this address, /24, on `eth0`.
    pub fn join(&mut self, address: Ipv4Addr) -> Host {
        let host = Host::new();
        self.plug_in(&host);
        host.add_address(address, 24);
        host
    }

    /// A (new) interface `eth0` in the host, and its cable.
    pub fn plug_in(&mut self, host: &Host) {
        self.joined += 1;
        let port = format!("port{}", self.joined);
        let namespace = host.namespace.as_raw_fd();
        self.switch.run(move |handle| async move {
            // The far end is made at once in the host, as its interface.
            let far = LinkMessageBuilder::<LinkUnspec>::new().name(INTERFACE).setns_by_fd(namespace).build();
            let near = LinkVeth::new(&port, INTERFACE).set_info_data(InfoData::Veth(InfoVeth::Peer(far)));
            handle.link().add(near.build()).execute().await.expect("a cable");
            let index = if_nametoindex(port.as_str()).expect("the port");
            let up = LinkUnspec::new_with_index(index).up().build();
            handle.link().change(up).execute().await.expect("the port is up");
        });
        host.link_up(INTERFACE);
        self.switch.wait_until_running(format!("port{}", self.joined));
        host.wait_until_running(INTERFACE.to_owned());
        // Only now, so that the bridge forwards from the moment the port is on it. The change also waits for the lock
        // under which the kernel readies an interface whose carrier has come: before that an interface drops what it is to send.
        let port = format!("port{}", self.joined);
        self.switch.run(move |handle| async move {
            let bridge = if_nametoindex("br0").expect("the bridge");
            let index = if_nametoindex(port.as_str()).expect("the port");
            let joined = LinkUnspec::new_with_index(index).controller(bridge).build();
            handle.link().change(joined).execute().await.expect("the port is on the bridge");
        });
    }

    /// Pulls the cable of the host that was plugged in at this place, counted from 1, out of the bridge's side: its port
    /// goes down.
    pub fn pull_cable(&self, place: u32) {
        self.switch.run(move |handle| async move {
            let index = if_nametoindex(format!("port{place}").as_str()).expect("the port");
            let down = LinkUnspec::new_with_index(index).down().build();
            handle.link().change(down).execute().await.expect("the port is down");
        });
    }
}

/// Waits for something that `wanted` takes, for at most `LIMIT`; what it does not take is dropped.
pub fn wait_for<Seen, Out>(
    seen: &mpsc::Receiver<Seen>,
    what: &str,
    mut wanted: impl FnMut(Seen) -> Option<Out>,
) -> Out {
    let until = Instant::now() + LIMIT;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let one = seen.recv_timeout(left).unwrap_or_else(|_| panic!("never seen: {what}"));
        if let Some(out) = wanted(one) {
            return out;
        }
    }
}
