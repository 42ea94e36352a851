//! A stand-in for Patroni's REST API, which vip-manager polls: says whether the local server leads its group.
//!
//! Patroni answers from what it found in its last round (10 s by default). This one asks the server each time, which is the
//! best that vip-manager could have.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;
use mysql::prelude::Queryable;
use mysql::{Conn, OptsBuilder};

use super::tool::QUESTION;
use crate::group::{AGENT_PASSWORD, AGENT_USER};

/// How long the server's answer, and the asker's question, may take.
const LIMIT: Duration = Duration::from_secs(1);

/// The paths to which Patroni answers 200 on the leader and 503 elsewhere.
const LEADER_PATHS: [&str; 4] = ["/", "/leader", "/primary", "/read-write"];

/// Where it listens and whom it asks.
#[derive(Clone, Debug, Args)]
pub struct Shim {
    /// The server's unix socket.
    #[arg(long)]
    socket: PathBuf,
    /// The port, on the loopback.
    #[arg(long)]
    port: u16,
}

impl Shim {
    /// Answers until it is ended.
    ///
    /// # Errors
    /// The port can't be listened on.
    pub fn run(&self) -> Result<(), io::Error> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port))?;
        for asker in listener.incoming() {
            let socket = self.socket.clone();
            // An asker that goes away in the middle gets no answer and needs none.
            thread::spawn(move || asker.and_then(|asker| answer(&asker, || leads(&socket))));
        }
        Ok(())
    }
}

fn answer(asker: &TcpStream, leads: impl FnOnce() -> bool) -> io::Result<()> {
    asker.set_read_timeout(Some(LIMIT))?;
    let mut lines = BufReader::new(asker).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let status = match LEADER_PATHS.contains(&path) {
        true if leads() => "200 OK",
        true => "503 Service Unavailable",
        false => "404 Not Found",
    };
    let mut asker = asker;
    write!(asker, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

/// A server that does not answer leads nothing.
fn leads(socket: &Path) -> bool {
    let options = OptsBuilder::new()
        .socket(Some(socket.to_string_lossy()))
        .user(Some(AGENT_USER))
        .pass(Some(AGENT_PASSWORD))
        .read_timeout(Some(LIMIT))
        .write_timeout(Some(LIMIT))
        .max_allowed_packet(Some(1 << 20));
    let count = Conn::new(options).and_then(|mut connection| connection.query_first::<u64, _>(QUESTION));
    matches!(count, Ok(Some(1)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Read;

    use super::*;

    fn ask(path: &str, leads: bool) -> String {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || answer(&listener.accept().unwrap().0, || leads).unwrap());
        let mut asker = TcpStream::connect(address).unwrap();
        write!(asker, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut text = String::new();
        asker.read_to_string(&mut text).unwrap();
        server.join().unwrap();
        text.split_whitespace().nth(1).unwrap_or_default().to_owned()
    }

    #[test]
    fn the_leader_is_told_as_patroni_tells_it() {
        assert_eq!(ask("/leader", true), "200");
        assert_eq!(ask("/leader", false), "503");
        assert_eq!(ask("/replica", true), "404");
    }

    #[test]
    fn a_server_that_is_not_there_does_not_lead() {
        assert!(!leads(Path::new("/nonexistent/mysqld.sock")));
    }
}
