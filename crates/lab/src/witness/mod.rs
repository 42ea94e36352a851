//! What looks at a run from inside a host. Each witness is a process of its own, started by the lab inside that host's
//! namespaces; the addresses of all hosts are looked at by one thread, so that their times compare. It prints one [`Recorded`] per line, as JSON, and ends when its standard input closes, when nobody
//! reads its output any more, or on a signal. Witnesses only tell; nothing is decided here.

mod addresses;
mod all_addresses;
mod arp;
mod role;

use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::Duration;

use clap::Subcommand;

pub(crate) use self::addresses::Listener;
pub(crate) use self::all_addresses::AllAddresses;
use crate::client::{self, Through};
use crate::reader;
use crate::record::{Recorded, What};

/// The hidden commands of the lab that run as witnesses.
#[derive(Clone, Debug, Subcommand)]
pub enum Witness {
    /// Tells the addresses of this network namespace, and each change.
    #[command(hide = true)]
    Addresses {
        /// The host's name, for the record.
        #[arg(long)]
        who: String,
    },
    /// Tells what is said by ARP about the VIP on an interface.
    #[command(hide = true)]
    Arp {
        /// The host's name, for the record.
        #[arg(long)]
        who: String,
        /// The interface to listen on.
        #[arg(long)]
        interface: String,
        /// The VIP.
        #[arg(long)]
        vip: IpAddr,
    },
    /// Tells what a server says of itself.
    #[command(hide = true)]
    Role {
        /// The host's name, for the record.
        #[arg(long, alias = "name")]
        who: String,
        /// The server's unix socket.
        #[arg(long)]
        socket: PathBuf,
        /// The account.
        #[arg(long, default_value = "root")]
        user: String,
        /// Its password.
        #[arg(long, default_value = "")]
        password: String,
        /// Milliseconds between two questions.
        #[arg(long, default_value_t = 20)]
        every_ms: u64,
    },
    /// Inserts rows through the VIP, one at a time, and tells the fate of each.
    #[command(hide = true)]
    Client {
        /// The client's name, for the record.
        #[arg(long, default_value = "client")]
        who: String,
        /// Where to.
        #[command(flatten)]
        through: Through,
        /// The first row's number.
        #[arg(long, default_value_t = 1)]
        first_id: u64,
        /// Milliseconds between an answer and the next row.
        #[arg(long, default_value_t = 2)]
        pause_ms: u64,
    },
    /// Reads through a reader VIP, by a connection for each read and by one that stays, and tells each pause and each new server.
    #[command(hide = true)]
    Reader {
        /// The client's name, for the record.
        #[arg(long, default_value = "reader")]
        who: String,
        /// Where to.
        #[command(flatten)]
        through: Through,
        /// Milliseconds between an answer and the next read.
        #[arg(long, default_value_t = 5)]
        pause_ms: u64,
    },
    /// Sleeps in one long query through the VIP, and tells when that ends.
    #[command(hide = true)]
    Asleep {
        /// The client's name, for the record.
        #[arg(long, default_value = "asleep")]
        who: String,
        /// Where to.
        #[command(flatten)]
        through: Through,
        /// Seconds to sleep.
        #[arg(long, default_value_t = 600)]
        seconds: u32,
    },
}

/// Why a witness can't go on.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The kernel refused a socket or a call on it.
    #[error("{doing}: {cause}; a witness must run inside a host of the lab, as its root")]
    Kernel {
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        cause: io::Error,
    },
    /// The interface is not there.
    #[error("there is no interface {interface} in this network namespace ({cause})")]
    NoInterface {
        /// The interface.
        interface: String,
        /// What the kernel said.
        cause: io::Error,
    },
    /// Nobody reads what the witness prints.
    #[error("standard output can't be written: {0}")]
    Output(io::Error),
}

impl WitnessError {
    pub(crate) fn kernel(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |cause| Self::Kernel { doing, cause }
    }
}

impl Witness {
    /// Runs the witness. It returns only when it can't go on; it ends the process when standard input closes.
    ///
    /// # Errors
    /// See [`WitnessError`].
    pub fn run(self) -> Result<(), WitnessError> {
        end_with_standard_input();
        match self {
            Self::Addresses { who } => addresses::watch(&who, &mut tell),
            Self::Arp { who, interface, vip } => arp::watch(&who, &interface, vip, &mut tell),
            Self::Role { who, socket, user, password, every_ms } => {
                role::watch(&who, &role::Account { socket, user, password }, Duration::from_millis(every_ms))
            }
            Self::Client { who, through, first_id, pause_ms } => {
                client::insert_for_ever(&who, &through, first_id, Duration::from_millis(pause_ms))
            }
            Self::Reader { who, through, pause_ms } => {
                reader::read_for_ever(&who, &through, Duration::from_millis(pause_ms))
            }
            Self::Asleep { who, through, seconds } => client::sleep_for_ever(&who, &through, seconds),
        }
    }
}

/// Where a witness of the network takes its records: to standard output, or into a test.
type Tell<'a> = dyn FnMut(&Recorded) -> Result<(), WitnessError> + 'a;

/// Prints one record, at once.
pub(crate) fn tell(recorded: &Recorded) -> Result<(), WitnessError> {
    let mut line = serde_json::to_vec(recorded).map_err(|cause| WitnessError::Output(cause.into()))?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).map_err(WitnessError::Output)
}

/// Prints something that happened just now.
pub(crate) fn tell_now(who: &str, what: What) -> Result<(), WitnessError> {
    tell(&Recorded::now(who, what))
}

/// The lab holds the other end of standard input. When the lab dies in any way, it closes.
fn end_with_standard_input() {
    thread::spawn(|| {
        let mut stdin = io::stdin().lock();
        let mut bytes = [0_u8; 64];
        while matches!(stdin.read(&mut bytes), Ok(count) if count > 0) {}
        process::exit(0);
    });
}

#[cfg(test)]
mod tests;
