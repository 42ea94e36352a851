//! Who answers over HTTP in an agent's place, with words that it had from it: what those who ask cost the machine by themselves, whoever it is
//! that they ask, is seen beside it. A process of its own on each database host.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::words::Words;

/// As many as an agent hears at a time; who came first gives way.
const CONNECTIONS: usize = 64;
/// As long as an agent gives them.
const ASK_WITHIN: Duration = Duration::from_secs(2);
const LONGEST_REQUEST: usize = 8 << 10;
/// Between two events for an open page, as an agent has it.
const EVENT_EVERY: Duration = Duration::from_millis(200);

/// Answers until it is ended. The words come on standard input, as JSON.
#[derive(Clone, Debug, clap::Args)]
pub struct InItsPlace {
    /// Where
    #[arg(long)]
    port: u16,
}

impl InItsPlace {
    /// The process's whole work.
    ///
    /// # Errors
    /// The port can't be had, or there are no words.
    pub fn run(&self) -> io::Result<()> {
        let words: Rc<Words> = Rc::new(serde_json::from_reader(io::stdin())?);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let at = SocketAddr::from((Ipv4Addr::UNSPECIFIED, self.port));
        LocalSet::new().block_on(&runtime, async {
            let listener = TcpListener::bind(at).await?;
            println!("ready");
            let mut open = VecDeque::<JoinHandle<_>>::new();
            loop {
                let (stream, _) = listener.accept().await?;
                open.retain(|one| !one.is_finished());
                while open.len() >= CONNECTIONS {
                    open.pop_front().inspect(JoinHandle::abort);
                }
                open.push_back(spawn_local(answer(stream, Rc::clone(&words))));
            }
        })
    }
}

async fn answer(mut stream: TcpStream, words: Rc<Words>) -> io::Result<()> {
    let mut asked = Vec::new();
    let read = async {
        while !asked.ends_with(b"\r\n\r\n") {
            if asked.len() > LONGEST_REQUEST || stream.read_buf(&mut asked).await? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok::<_, io::Error>(())
    };
    timeout(ASK_WITHIN, read).await??;
    if asked.starts_with(b"GET /metrics ") {
        return stream.write_all(words.metrics.as_bytes()).await;
    }
    if asked.starts_with(b"GET /events ") {
        stream.write_all(words.first_event.as_bytes()).await?;
        loop {
            sleep(EVENT_EVERY).await;
            stream.write_all(words.event.as_bytes()).await?;
        }
    }
    stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await
}
