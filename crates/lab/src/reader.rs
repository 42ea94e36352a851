//! The reading clients of one VIP: one that connects anew for each read, as a web page's process does, and one whose connection stays, as
//! a pool's does. What they tell is little: each new server, each pause, and a line a second.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use mysql::Conn;
use mysql::prelude::Queryable;

use crate::client::{Through, words};
use crate::record::{Recorded, What, now_us};
use crate::witness::{WitnessError, tell};

/// How long an answer may take.
const READ_LIMIT: Duration = Duration::from_secs(3);
/// Before the next attempt after one that failed.
const RETRY_PAUSE: Duration = Duration::from_millis(2);
/// A pause between two good reads that is told as soon as it is over, microseconds.
const TOLD_AT_ONCE: u64 = 40_000;
/// Otherwise reads are told together, this often, microseconds.
const TOLD_EVERY: u64 = 1_000_000;
/// A row of the table, so that the table is read.
const STATEMENT: &str = "SELECT @@hostname, COUNT(*) FROM lab.ledger WHERE id = 1";

/// Both clients of this VIP, until nobody listens.
pub(crate) fn read_for_ever(who: &str, through: &Through, pause: Duration) -> Result<(), WitnessError> {
    let about = through.hosts.first().copied().ok_or_else(|| {
        WitnessError::Output(std::io::Error::other("the reading client was given no address"))
    })?;
    let (stays, of_stays) = (through.clone(), Told::new(who, about, true));
    let staying = thread::spawn(move || keep_reading(&stays, of_stays, pause));
    let short = connect_and_read(through, Told::new(who, about, false), pause);
    staying.join().unwrap_or(Ok(())).and(short)
}

/// A connection for each read.
fn connect_and_read(through: &Through, mut told: Told, pause: Duration) -> Result<(), WitnessError> {
    loop {
        let sent_us = now_us();
        // Connecting asks for the server's name: that is the read.
        match through.connect(0, Some(READ_LIMIT)) {
            Ok((_, server)) => {
                told.good(sent_us, server)?;
                thread::sleep(pause);
            }
            Err(cause) => {
                told.bad(cause.words())?;
                thread::sleep(RETRY_PAUSE);
            }
        }
    }
}

/// One connection for all reads, and another one only when that is lost.
fn keep_reading(through: &Through, mut told: Told, pause: Duration) -> Result<(), WitnessError> {
    let mut connection: Option<Conn> = None;
    loop {
        let sent_us = now_us();
        let Some(open) = &mut connection else {
            match through.connect(0, Some(READ_LIMIT)) {
                Ok((new, _)) => connection = Some(new),
                Err(cause) => {
                    told.bad(cause.words())?;
                    thread::sleep(RETRY_PAUSE);
                }
            }
            continue;
        };
        match open.query_first::<(String, u64), _>(STATEMENT) {
            Ok(answer) => {
                told.good(sent_us, answer.map(|(server, _)| server).unwrap_or_default())?;
                thread::sleep(pause);
            }
            Err(cause) => {
                connection = None;
                told.bad(words(&cause))?;
            }
        }
    }
}

/// What one of them has told, and not told yet.
struct Told {
    who: String,
    about: IpAddr,
    stays: bool,
    server: String,
    last_good_us: u64,
    last_line_us: u64,
    reads: u64,
    pause_us: u64,
    trouble: Option<String>,
}

impl Told {
    fn new(who: &str, about: IpAddr, stays: bool) -> Self {
        Self {
            who: who.to_owned(),
            about,
            stays,
            server: String::new(),
            last_good_us: now_us(),
            last_line_us: 0,
            reads: 0,
            pause_us: 0,
            trouble: None,
        }
    }

    fn good(&mut self, sent_us: u64, server: String) -> Result<(), WitnessError> {
        match self.take_good(sent_us, now_us(), server) {
            Some(recorded) => tell(&recorded),
            None => Ok(()),
        }
    }

    fn take_good(&mut self, sent_us: u64, at_us: u64, server: String) -> Option<Recorded> {
        let pause_us = at_us.saturating_sub(self.last_good_us);
        self.last_good_us = at_us;
        self.reads += 1;
        self.pause_us = self.pause_us.max(pause_us);
        let news = self.server != server || pause_us >= TOLD_AT_ONCE || self.trouble.is_some();
        if !news && at_us < self.last_line_us + TOLD_EVERY {
            return None;
        }
        self.last_line_us = at_us;
        self.trouble = None;
        self.server = server;
        let what = What::Read {
            about: self.about,
            stays: self.stays,
            server: self.server.clone(),
            sent_us,
            reads: std::mem::take(&mut self.reads),
            pause_us: std::mem::take(&mut self.pause_us),
        };
        Some(Recorded { at_us, who: self.who.clone(), what })
    }

    /// Told once for each kind of trouble, until a read is good again.
    fn bad(&mut self, text: String) -> Result<(), WitnessError> {
        if self.trouble.as_ref() == Some(&text) {
            return Ok(());
        }
        self.trouble = Some(text.clone());
        let (about, stays) = (self.about, self.stays);
        tell(&Recorded::now(self.who.as_str(), What::NotRead { about, stays, text }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_new_server_and_a_long_pause_are_told_at_once_and_the_rest_once_a_second() {
        let mut told = Told::new("reader", "10.77.0.121".parse().unwrap(), false);
        told.last_good_us = 1_000_000;
        let mut take = |at_us: u64, server: &str| {
            let what = told.take_good(at_us - 1_000, at_us, server.to_owned())?.what;
            let What::Read { server, reads, pause_us, .. } = what else { return None };
            Some((server, reads, pause_us))
        };
        assert_eq!(take(1_005_000, "db2"), Some(("db2".into(), 1, 5_000)), "the first");
        assert_eq!(take(1_012_000, "db2"), None);
        assert_eq!(take(1_020_000, "db3"), Some(("db3".into(), 2, 8_000)), "another server");
        assert_eq!(take(1_300_000, "db3"), Some(("db3".into(), 1, 280_000)), "a pause");
        assert_eq!(take(1_310_000, "db3"), None);
        assert_eq!(take(2_300_000, "db3"), Some(("db3".into(), 2, 990_000)));
    }
}
