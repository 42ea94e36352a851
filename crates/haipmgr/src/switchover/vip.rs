//! Which server answers at the VIP, asked or written to over and over, as an application would.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::server_access::account::WRITE;
use crate::server_access::session::Session;
use crate::server_access::{Access, Connector};

/// Between two questions or writes.
const EVERY: Duration = Duration::from_millis(5);
/// Between two attempts to connect.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// For a connection, and for an answer.
const LIMIT: Duration = Duration::from_secs(1);

const WHO: &str = "SELECT @@GLOBAL.server_uuid, @@GLOBAL.super_read_only OR @@GLOBAL.read_only";

/// What was seen at the VIP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SeenAtVip {
    /// The server that took a write, or would have, most recently, and when.
    pub(crate) served: Option<(String, Instant)>,
    /// The longest time between two such moments.
    pub(crate) gap: Duration,
    /// How many rows were written.
    pub(crate) rows: u64,
    /// Why it did not work, the last time that it did not.
    pub(crate) failure: Option<String>,
}

impl SeenAtVip {
    fn served(&mut self, by: &str, at: Instant) {
        if let Some((_, last)) = &self.served {
            self.gap = self.gap.max(at.saturating_duration_since(*last));
        }
        self.served = Some((by.to_owned(), at));
    }
}

/// Looks at the VIP until it is dropped.
pub(crate) struct VipWatch {
    seen: Arc<Mutex<SeenAtVip>>,
    task: JoinHandle<()>,
}

impl VipWatch {
    /// Begins, inside a tokio runtime. `writes`: a row is written each time, where it is only asked otherwise.
    pub(crate) fn start(access: Access, writes: bool) -> Self {
        let seen = Arc::new(Mutex::new(SeenAtVip::default()));
        let task = tokio::spawn(watch(Connector::new(access), writes, Arc::clone(&seen)));
        Self { seen, task }
    }

    pub(crate) fn seen(&self) -> SeenAtVip {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts gaps from now on.
    pub(crate) fn begin_anew(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).gap = Duration::ZERO;
    }
}

impl Drop for VipWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn watch(mut connector: Connector, writes: bool, seen: Arc<Mutex<SeenAtVip>>) {
    let note = |with: &mut dyn FnMut(&mut SeenAtVip)| {
        with(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    };
    loop {
        let failure = match timeout(LIMIT, Box::pin(connector.connect())).await {
            Ok(Ok(session)) => serve(session, writes, &note).await,
            Ok(Err(failure)) => failure.why().to_string(),
            Err(_) => "no answer within 1 s".to_owned(),
        };
        note(&mut |seen| seen.failure = Some(failure.clone()));
        sleep(AGAIN_AFTER).await;
    }
}

/// Until the session ends; why it did.
async fn serve(mut session: Session, writes: bool, note: &impl Fn(&mut dyn FnMut(&mut SeenAtVip))) -> String {
    loop {
        let (server, writable) = match within(session.query(WHO)).await {
            Ok(rows) => {
                let cell = |place: usize| rows.first()?.get(place).cloned().flatten();
                (cell(0).unwrap_or_default(), cell(1).as_deref() == Some("0"))
            }
            Err(why) => return why,
        };
        if writable && writes {
            // Each write tells for itself from now on; who the server is changes with the session only.
            return write(session, &server, note).await;
        }
        if writable {
            note(&mut |seen| seen.served(&server, Instant::now()));
        }
        sleep(EVERY).await;
    }
}

/// Until a write fails; why it did.
async fn write(mut session: Session, server: &str, note: &impl Fn(&mut dyn FnMut(&mut SeenAtVip))) -> String {
    loop {
        if let Err(why) = within(session.query(WRITE)).await {
            return why;
        }
        note(&mut |seen| {
            seen.served(server, Instant::now());
            seen.rows += 1;
        });
        sleep(EVERY).await;
    }
}

async fn within<T>(
    answer: impl Future<Output = Result<T, crate::server_access::session::Error>>,
) -> Result<T, String> {
    match timeout(LIMIT, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err("no answer within 1 s".to_owned()),
    }
}
