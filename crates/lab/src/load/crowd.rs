//! Those who ask the agents over HTTP, well and badly, from the client's host: a process of its own.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::words::Words;

/// Between two scrapes, as Prometheus is asked to.
const SCRAPE_EVERY: Duration = Duration::from_secs(1);
/// So many pages are open at each agent.
const PAGES: usize = 10;
/// So many connections with nothing asked are open at a time to each agent, by who means no good.
const CONNECTIONS: usize = 1_000;
/// From one of the first of them to the next.
const FILLS_EVERY: Duration = Duration::from_millis(1);
/// So many ask a byte at a time.
const SLOW: usize = 16;
const A_BYTE_EVERY: Duration = Duration::from_millis(200);
/// What a huge request has of headers.
const HUGE: usize = 1 << 20;
/// What failed is tried again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
/// No conversation waits longer than this.
const LIMIT: Duration = Duration::from_secs(3);
const NO_REQUESTS: [&[u8]; 4] = [
    b"\0\xff\x16\x03\x01\x02\x00",
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n: :\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
];

/// How hard those who mean no good try. Scrapes, pages and slow requests are as many either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Abuse {
    /// A thousand connections that stay, and ten new ones a second; a huge and four malformed requests a second
    Steady,
    /// A thousand new connections a second; as many huge and malformed requests as there is time for
    Flood,
}

impl Abuse {
    /// From one new connection that asks nothing to the next, once a thousand are open.
    const fn renews_every(self) -> Duration {
        match self {
            Self::Steady => Duration::from_millis(100),
            Self::Flood => Duration::from_millis(1),
        }
    }

    /// From one huge request, or from four malformed ones, to the next.
    const fn pauses(self) -> Duration {
        match self {
            Self::Steady => Duration::from_secs(1),
            Self::Flood => AGAIN_AFTER,
        }
    }

    /// As an argument of this command.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Flood => "flood",
        }
    }
}

/// What became of it all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Scrapes that were answered.
    pub scraped: u64,
    /// Scrapes that found no room, for those who abuse had it.
    pub not_scraped: u64,
    /// Events that open pages got.
    pub events: u64,
    /// Connections, by whomever.
    pub connections: u64,
}

impl Counts {
    /// Those of another turn too.
    pub(super) fn add(&mut self, more: Self) {
        self.scraped += more.scraped;
        self.not_scraped += more.not_scraped;
        self.events += more.events;
        self.connections += more.connections;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scraped, not_scraped, events, connections } = self;
        write!(
            out,
            "{scraped} scrapes answered, {not_scraped} turned away for want of room, {events} events to open pages, {connections} connections"
        )
    }
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    scraped: AtomicU64,
    not_scraped: AtomicU64,
    events: AtomicU64,
    connections: AtomicU64,
}

/// Asks until standard input ends, and prints the counts then.
#[derive(Clone, Debug, clap::Args)]
pub struct Crowd {
    /// Who is asked
    #[arg(required = true)]
    agents: Vec<SocketAddr>,
    /// The agents' token
    #[arg(long)]
    token: String,
    /// How hard those who mean no good try
    #[arg(long, default_value = "steady")]
    abuse: Abuse,
    /// Print what the first of them answers to one who asks well, and do nothing else
    #[arg(long)]
    words: bool,
}

impl Crowd {
    /// The process's whole work.
    ///
    /// # Errors
    /// The counts can't be written.
    pub fn run(self) -> io::Result<()> {
        if let (true, Some(agent)) = (self.words, self.agents.first()) {
            let asker = Asker { agent: *agent, token: self.token, abuse: self.abuse, shared: Arc::default() };
            let words = asker.hear()?;
            return Ok(serde_json::to_writer(io::stdout(), &words)?);
        }
        let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((1_024, 1_024));
        // Where it may not, it opens as many as it can.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, most, most);
        let shared = Arc::<Shared>::default();
        let mut all = Vec::new();
        for agent in self.agents {
            let asker =
                Asker { agent, token: self.token.clone(), abuse: self.abuse, shared: Arc::clone(&shared) };
            all.push(asker.go(Asker::scrape));
            all.extend((0..PAGES).map(|_| asker.go(Asker::page)));
            all.extend((0..SLOW).map(|_| asker.go(Asker::slow)));
            all.push(asker.go(Asker::huge));
            all.push(asker.go(Asker::malformed));
            all.push(asker.go(Asker::many));
        }
        // Its end is the word to end.
        let _ = io::stdin().read(&mut [0]);
        shared.ended.store(true, Ordering::Relaxed);
        for thread in all {
            let _ = thread.join();
        }
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = Counts {
            scraped: count(&shared.scraped),
            not_scraped: count(&shared.not_scraped),
            events: count(&shared.events),
            connections: count(&shared.connections),
        };
        serde_json::to_writer(io::stdout(), &counts)?;
        Ok(())
    }
}

/// One who asks one agent.
#[derive(Clone)]
struct Asker {
    agent: SocketAddr,
    token: String,
    abuse: Abuse,
    shared: Arc<Shared>,
}

impl Asker {
    /// Does this again and again until the end; what fails is done again a little later.
    fn go(&self, what: fn(&Self) -> io::Result<()>) -> JoinHandle<()> {
        let asker = self.clone();
        thread::spawn(move || {
            while !asker.is_over() {
                if what(&asker).is_err() {
                    thread::sleep(AGAIN_AFTER);
                }
            }
        })
    }

    fn is_over(&self) -> bool {
        self.shared.ended.load(Ordering::Relaxed)
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&self.agent, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        stream.set_write_timeout(Some(LIMIT))?;
        self.shared.connections.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    fn ask(&self, path: &str) -> io::Result<TcpStream> {
        let mut stream = self.connect()?;
        let Self { agent, token, .. } = self;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {agent}\r\nAuthorization: Bearer {token}\r\n\r\n")?;
        Ok(stream)
    }

    /// What it answers, once it does.
    fn hear(&self) -> io::Result<Words> {
        let since = Instant::now();
        loop {
            let heard = self.ask("/metrics").and_then(|scrape| Words::heard(scrape, self.ask("/events")?));
            if heard.is_ok() || since.elapsed() > LIMIT {
                return heard;
            }
            thread::sleep(AGAIN_AFTER);
        }
    }

    fn scrape(&self) -> io::Result<()> {
        let begun = Instant::now();
        let mut text = String::new();
        let read = self.ask("/metrics").and_then(|mut stream| stream.read_to_string(&mut text));
        let well = read.is_ok() && text.starts_with("HTTP/1.1 200") && text.contains("# EOF");
        let count = if well { &self.shared.scraped } else { &self.shared.not_scraped };
        count.fetch_add(1, Ordering::Relaxed);
        thread::sleep(SCRAPE_EVERY.saturating_sub(begun.elapsed()));
        read.map(drop)
    }

    fn page(&self) -> io::Result<()> {
        let mut stream = self.ask("/events")?;
        let mut piece = vec![0; 16 << 10];
        while !self.is_over() {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let events =
                piece[..read].windows(7).filter(|seven| seven == b"\nevent:" || seven == b"event: ").count();
            self.shared.events.fetch_add(events as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    fn slow(&self) -> io::Result<()> {
        let mut stream = self.connect()?;
        for byte in b"GET /metrics HTTP/1.1\r\nHost: agent\r\nX-Slow: yes, very\r\n".iter().cycle() {
            if self.is_over() {
                break;
            }
            stream.write_all(&[*byte])?;
            thread::sleep(A_BYTE_EVERY);
        }
        Ok(())
    }

    /// Is refused long before its end, so that writing it fails as a rule.
    fn huge(&self) -> io::Result<()> {
        let mut stream = self.connect()?;
        let header = vec![b'x'; HUGE];
        let _ = stream.write_all(b"GET / HTTP/1.1\r\nX-Huge: ").and_then(|()| stream.write_all(&header));
        thread::sleep(self.abuse.pauses());
        Ok(())
    }

    fn malformed(&self) -> io::Result<()> {
        for no_request in NO_REQUESTS {
            let mut stream = self.connect()?;
            stream.write_all(no_request)?;
            let _ = stream.read(&mut [0; 1_024]);
        }
        thread::sleep(self.abuse.pauses());
        Ok(())
    }

    /// A thousand within a second; from then on the oldest is given up for a new one, so that as many are open at any time. What the agent
    /// closes is missed only by its place.
    fn many(&self) -> io::Result<()> {
        let mut open = VecDeque::with_capacity(CONNECTIONS);
        let mut next = Instant::now();
        while !self.is_over() {
            // Where it is late, it catches up.
            thread::sleep(next.saturating_duration_since(Instant::now()));
            let filling = open.len() < CONNECTIONS;
            next += if filling { FILLS_EVERY } else { self.abuse.renews_every() };
            if !filling {
                open.pop_front();
            }
            open.push_back(self.connect()?);
        }
        Ok(())
    }
}
