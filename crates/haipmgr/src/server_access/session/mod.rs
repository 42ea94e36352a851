//! A session with a MySQL server: packets are framed, encoded and decoded by `mysql_common`, the library below both MySQL drivers
//! for Rust; here is the order in which they go to and fro. Nothing here has a time limit: whoever waits has.
//!
//! | file | the one idea |
//! |---|---|
//! | `wire.rs` | packets to and fro, over TCP, TLS or a socket file |
//! | `tls.rs` | whose certificate is accepted |
//! | `login.rs` | from the greeting to the account's acceptance |
//! | `answer.rs` | what the packets of an answer say: pure |

mod answer;
mod login;
mod tls;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use futures_util::FutureExt as _;
use mysql_common::constants::{CapabilityFlags, Command};
use mysql_common::packets::{ComStmtExecuteRequestBuilder, StmtPacket};
use mysql_common::proto::MySerialize as _;
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};

pub(crate) use self::answer::{Form, Rows, rows_in};
pub(crate) use self::login::Account;
pub(crate) use self::tls::Tls;

use self::answer::{Answer, parsed};
use self::wire::{Stream, Wire};

/// After how long an unacknowledged segment ends a TCP connection (`TCP_USER_TIMEOUT`): the other host is gone, or came
/// back and knows nothing of it. A hung server's kernel goes on acknowledging.
const UNACKNOWLEDGED: Duration = Duration::from_secs(3);

/// Why a session could not be had, or a question was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The server said so: number and text (MySQL's server error message reference).
    #[error("error {code}: {message}")]
    Server { code: u16, message: String },
    /// The connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// TLS: the handshake, or the certificate.
    #[error("{0}")]
    Tls(io::Error),
    /// TLS is wanted, and the server offers none.
    #[error("the server offers no TLS")]
    NoTls,
    /// The server wants the password by this method, which is none of those that it is told by.
    #[error("the server asks for the password by the method {0}")]
    Method(String),
    /// The server said something that has no place there: most often its word that it takes leave of an idle connection.
    #[error("{0}")]
    OutOfPlace(String),
    /// No MySQL server says this.
    #[error("this is not what a MySQL server says: {0}")]
    NotUnderstood(String),
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// A connection to a server before the account is known there.
pub(crate) struct Connected(Wire);

impl Connected {
    /// Over TCP: as long as the kernel goes on trying.
    pub(crate) async fn over_tcp(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
        Ok(Self(Wire::new(Stream::Tcp(stream))))
    }

    /// Over a socket file. `WouldBlock`: its queue is full.
    pub(crate) async fn over_socket(path: &Path) -> Result<Self> {
        Ok(Self(Wire::new(Stream::Socket(UnixStream::connect(path).await?))))
    }

    /// Logs in, with TLS where it is given.
    pub(crate) async fn log_in(self, account: Account<'_>, tls: Option<&Tls>) -> Result<Session> {
        guard(async move {
            let (wire, capabilities) = login::log_in(self.0, account, tls).await?;
            Ok(Session { wire, capabilities, tls: tls.is_some() })
        })
        .await
    }
}

/// A session: one question at a time. An error other than [`Error::Server`] ends it, and so does a question that was not waited
/// for: it is to be dropped.
pub(crate) struct Session {
    wire: Wire,
    capabilities: CapabilityFlags,
    tls: bool,
}

/// A statement that the server has prepared for this session.
#[derive(Debug)]
pub(crate) struct Statement {
    /// The whole command that has it executed.
    execute: Vec<u8>,
    /// The last answer's bytes: most answers are the last one over again.
    last: Vec<u8>,
}

impl Session {
    /// Whether it has TLS.
    pub(crate) fn has_tls(&self) -> bool {
        self.tls
    }

    /// The rows that a statement gives; none for one that gives no rows. No more than 64.
    pub(crate) async fn query(&mut self, statement: &str) -> Result<Rows> {
        guard(async {
            self.command(Command::COM_QUERY, statement.as_bytes()).await?;
            self.answer(Form::Text).await?.rows()
        })
        .await
    }

    /// Has a statement without parameters prepared.
    pub(crate) async fn prepare(&mut self, statement: &str) -> Result<Statement> {
        guard(async {
            self.command(Command::COM_STMT_PREPARE, statement.as_bytes()).await?;
            let prepared: StmtPacket = parsed(self.wire.receive(self.capabilities).await?)?;
            // The definitions of parameters and of columns, each list with its end; the answers bring the columns again.
            for definitions in [prepared.num_params(), prepared.num_columns()] {
                if definitions > 0 {
                    for _ in 0..=definitions {
                        self.wire.receive(self.capabilities).await?;
                    }
                }
            }
            let (body, _) = ComStmtExecuteRequestBuilder::new(prepared.statement_id()).build(&[]);
            let mut execute = Vec::new();
            body.serialize(&mut execute);
            Ok(Statement { execute, last: Vec::new() })
        })
        .await
    }

    /// The rows that a prepared statement gives; none where the answer is byte for byte the last one.
    pub(crate) async fn execute(&mut self, statement: &mut Statement) -> Result<Option<Rows>> {
        guard(async {
            self.wire.command(&statement.execute).await?;
            let answer = self.answer(Form::Binary).await?;
            if answer.bytes == statement.last && !statement.last.is_empty() {
                return Ok(None);
            }
            let rows = answer.rows()?;
            statement.last = answer.bytes;
            Ok(Some(rows))
        })
        .await
    }

    /// Waits until anything comes that was not asked for, or the connection ends. What comes is for the next question to find.
    pub(crate) async fn stirred(&mut self) {
        // The end is found again by whoever reads next.
        let _ = self.wire.read().await;
    }

    /// Takes leave, as far as that is possible without waiting for the server.
    pub(crate) async fn close(mut self) {
        // It ends in any case.
        if self.command(Command::COM_QUIT, &[]).await.is_ok() {
            let _ = self.wire.shut_down().await;
        }
    }

    async fn command(&mut self, command: Command, text: &[u8]) -> Result<()> {
        let mut body = Vec::with_capacity(1 + text.len());
        body.push(command as u8);
        body.extend_from_slice(text);
        self.wire.command(&body).await
    }

    /// The first result set; what follows it (a procedure's own answer) is read and left.
    async fn answer(&mut self, form: Form) -> Result<Answer> {
        let first = self.set(form).await?;
        let mut more = first.more_follows();
        while more {
            more = self.set(form).await?.more_follows();
        }
        Ok(first)
    }

    async fn set(&mut self, form: Form) -> Result<Answer> {
        let mut answer = Answer::new(form);
        while !answer.is_whole() {
            answer.take_in(self.wire.receive(self.capabilities).await?, self.capabilities)?;
        }
        Ok(answer)
    }
}

/// The library panics on some packets that no MySQL server sends; to this program they are one more failure.
async fn guard<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let outcome = AssertUnwindSafe(work).catch_unwind().await;
    outcome.unwrap_or_else(|_| Err(Error::NotUnderstood("a packet that is cut short".to_owned())))
}
