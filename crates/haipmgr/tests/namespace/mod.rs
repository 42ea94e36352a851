//! Network namespaces for tests: each is one thread's own, and goes with the thread.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::fs::File;
use std::future::Future;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use nix::sched::{CloneFlags, unshare};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// No test waits longer than this for anything.
pub(crate) const LIMIT: Duration = Duration::from_secs(10);

/// Runs `body` on its own thread, in a new network namespace with loopback up, on a current-thread runtime.
pub(crate) fn in_new_namespace<F: Future<Output = ()>>(body: impl FnOnce() -> F + Send + 'static) {
    let done = thread::spawn(|| {
        let runtime = enter_new_namespace();
        runtime.block_on(async {
            set_up(&netlink(), "lo").await;
            body().await;
        });
    })
    .join();
    if let Err(panic) = done {
        std::panic::resume_unwind(panic);
    }
}

/// A second namespace, on its own thread, that carries out jobs until it is dropped. What a job spawns goes on.
pub(crate) struct Neighbor {
    jobs: Option<UnboundedSender<Job>>,
    namespace: File,
    thread: Option<thread::JoinHandle<()>>,
}

type Job = Box<dyn FnOnce() -> Pin<Box<dyn Future<Output = ()>>> + Send>;

impl Neighbor {
    pub(crate) fn new() -> Self {
        let (jobs, mut inbox) = unbounded_channel::<Job>();
        let (tell, entered) = mpsc::channel();
        let thread = thread::spawn(move || {
            let runtime = enter_new_namespace();
            tell.send(File::open("/proc/thread-self/ns/net").unwrap()).unwrap();
            runtime.block_on(async {
                while let Some(job) = inbox.recv().await {
                    job().await;
                }
            });
        });
        Self { jobs: Some(jobs), namespace: entered.recv_timeout(LIMIT).unwrap(), thread: Some(thread) }
    }

    /// Runs one job there, and waits for it.
    pub(crate) fn run<F: Future<Output = ()> + 'static>(&self, job: impl FnOnce() -> F + Send + 'static) {
        let (tell, done) = mpsc::channel();
        let job: Job = Box::new(move || {
            Box::pin(async move {
                job().await;
                tell.send(()).unwrap();
            })
        });
        assert!(self.jobs.as_ref().unwrap().send(job).is_ok(), "the neighbor's thread runs");
        done.recv_timeout(LIMIT).expect("the neighbor's job failed");
    }

    /// Writes a setting under `/proc/sys/net` of this namespace.
    pub(crate) fn set(&self, key: &'static str, value: &'static str) {
        self.run(move || async move { set(key, value) });
    }
}

impl Drop for Neighbor {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

fn enter_new_namespace() -> tokio::runtime::Runtime {
    unshare(CloneFlags::CLONE_NEWNET).unwrap_or_else(|error| {
        panic!(
            "this test makes network namespaces of its own, and that needs root ({error}); \
             run: sudo -E env \"PATH=$PATH\" cargo test -p haipmgr"
        )
    });
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// A netlink handle in the namespace of this thread.
pub(crate) fn netlink() -> Handle {
    let (connection, handle, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    handle
}

/// A cable from `eth0` here to `eth0` at the neighbor; both ends up.
pub(crate) async fn cable_to(neighbor: &Neighbor) {
    let netlink = netlink();
    netlink.link().add(LinkVeth::new("eth0", "peer0").build()).execute().await.unwrap();
    let there = LinkUnspec::new_with_index(index(&netlink, "peer0").await)
        .setns_by_fd(neighbor.namespace.as_raw_fd())
        .name("eth0")
        .build();
    netlink.link().set(there).execute().await.unwrap();
    set_up(&netlink, "eth0").await;
    neighbor.run(|| async {
        let netlink = self::netlink();
        set_up(&netlink, "lo").await;
        set_up(&netlink, "eth0").await;
    });
}

pub(crate) async fn index(netlink: &Handle, interface: &str) -> u32 {
    use futures_util::TryStreamExt as _;
    let mut links = std::pin::pin!(netlink.link().get().match_name(interface).execute());
    links.try_next().await.unwrap().unwrap().header.index
}

pub(crate) async fn set_up(netlink: &Handle, interface: &str) {
    let change = LinkUnspec::new_with_name(interface).up().build();
    netlink.link().set(change).execute().await.unwrap();
}

pub(crate) async fn set_down(netlink: &Handle, interface: &str) {
    let change = LinkUnspec::new_with_name(interface).down().build();
    netlink.link().set(change).execute().await.unwrap();
}

pub(crate) async fn give(netlink: &Handle, interface: &str, address: &str, prefix: u8) {
    let address: IpAddr = address.parse().unwrap();
    netlink.address().add(index(netlink, interface).await, address, prefix).execute().await.unwrap();
}

/// Writes a setting under `/proc/sys/net` of this thread's namespace.
pub(crate) fn set(key: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{key}"), value).unwrap();
}

/// The kernel's neighbor cache of this thread's namespace forgets all that it has learned.
pub(crate) async fn forget_neighbors() {
    use futures_util::TryStreamExt as _;
    let netlink = netlink();
    let known: Vec<_> = netlink.neighbours().get().execute().try_collect().await.unwrap();
    for entry in known {
        // One that went by itself meanwhile is forgotten too.
        let _ = netlink.neighbours().del(entry).execute().await;
    }
}

/// The addresses of eth0, in the kernel's order.
pub(crate) async fn on_eth0() -> Vec<AddressMessage> {
    let netlink = netlink();
    let eth0 = index(&netlink, "eth0").await;
    let all: Vec<AddressMessage> = netlink.address().get().execute().try_collect().await.unwrap();
    all.into_iter().filter(|address| address.header.index == eth0).collect()
}

/// Those of IPv4, each with its prefix length.
pub(crate) fn addresses(messages: &[AddressMessage]) -> Vec<(IpAddr, u8)> {
    let local = |message: &AddressMessage| {
        message.attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => {
                Some((IpAddr::V4(*address), message.header.prefix_len))
            }
            _ => None,
        })
    };
    messages.iter().filter_map(local).collect()
}

/// From where this host would speak to that address.
pub(crate) fn source_to(address: &str) -> IpAddr {
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).unwrap();
    socket.connect((address, 9)).unwrap();
    socket.local_addr().unwrap().ip()
}
