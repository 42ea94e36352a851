//! The thread that answers over HTTP: an ordinary one, and behind all others, so that whoever asks, and however often, takes no time from the
//! one that decides, nor from the server on this host.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::listener::{self, Listener, Stream};
use super::looks::Looks;
use super::room::{self, Place, Room};
use super::routes::{Site, answer};
use crate::config::{Config, Listen, ListenAt};
use crate::control::Doors;
use crate::journal::Journal;
use crate::self_protection::{as_ordinary_thread, give_way};

/// So many are heard at a time; of those, who asks nothing gives way to whoever comes.
const CONNECTIONS: usize = 64;
/// So many of them are pages that are open.
const PAGES: usize = 32;
/// Who connects has so long for TLS, and then for the request.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// A request may be so long, in bytes: its address and headers.
const LONGEST_REQUEST: usize = 8 << 10;
/// An answer is taken within so long: a page's stream ends by itself before that.
const TAKE_WITHIN: Duration = Duration::from_secs(660);
/// Between two attempts to accept, where the system has no descriptor to spare.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// Enough for a TLS handshake; only what is touched costs memory.
const STACK: usize = 2 << 20;

/// After a reload the place may still be its predecessor's for a moment.
const BIND_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts.
const BIND_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// The system gives no thread for it, or no descriptor.
#[derive(Debug, thiserror::Error)]
#[error(
    "HTTP is not answered at {at}: {cause}; raise the limits on tasks and open files, then haipmgr reload"
)]
pub struct HttpError {
    at: ListenAt,
    #[source]
    cause: io::Error,
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Http {
    /// Dropped, the thread ends.
    _stop: oneshot::Sender<()>,
}

impl Http {
    /// Answers from now on, about these clusters. That it does, or why it can't (the place is taken, a certificate is not what it should
    /// be), is in the log; whoever runs the agent goes on either way.
    ///
    /// # Errors
    /// The system gives no thread or no descriptor.
    pub fn begin(
        listen: &Listen,
        config: Arc<Config>,
        doors: Doors,
        journal: Journal,
    ) -> Result<Self, HttpError> {
        let failed = |cause| HttpError { at: listen.at.clone(), cause };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .thread_keep_alive(Duration::from_secs(1))
            .build()
            .map_err(failed)?;
        let (stop, stopped) = oneshot::channel();
        let wanted = listen.clone();
        let work = move || {
            runtime.block_on(async move {
                tokio::select! {
                    biased;
                    // The sender is never used, only dropped.
                    _ = stopped => {}
                    () = begin_and_serve(wanted, config, doors, journal) => {}
                }
            });
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("http".to_owned()).stack_size(STACK);
        let work = || {
            give_way();
            work();
        };
        thread.spawn(|| as_ordinary_thread(work)).map_err(failed)?;
        Ok(Self { _stop: stop })
    }
}

/// Comes back only where there is nothing to listen at.
async fn begin_and_serve(listen: Listen, config: Arc<Config>, doors: Doors, journal: Journal) {
    let log = journal.agent();
    let listener = match listen.tls.as_ref().map(listener::tls).transpose() {
        Ok(tls) => bind(&listen.at, tls).await.map_err(|cause| cause.to_string()),
        Err(words) => Err(words),
    };
    match listener {
        Ok(listener) => {
            let protocol = if listen.tls.is_some() { "HTTPS" } else { "HTTP" };
            log.info(&format!("{protocol} is answered at {}", listen.at));
            let looks = Arc::new(Looks::new(config, doors, journal));
            serve(&listener, Arc::new(Site { looks, token: listen.token, pages: Arc::new(Semaphore::new(PAGES)) })).await;
        }
        Err(words) => log.error(&format!(
            "HTTP is not answered at {}: {words}; put that right, or listen in the configuration (docs/http.md), then haipmgr reload",
            listen.at
        )),
    }
}

async fn bind(at: &ListenAt, tls: Option<Arc<ServerConfig>>) -> io::Result<Listener> {
    let until = Instant::now() + BIND_WITHIN;
    loop {
        match Listener::bind(at, tls.clone()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < until => {
                sleep(BIND_AGAIN_AFTER).await;
            }
            bound => return bound,
        }
    }
}

/// For ever.
async fn serve(listener: &Listener, site: Arc<Site>) {
    let mut room = Room::of(CONNECTIONS);
    loop {
        let Ok(stream) = listener.accept().await else {
            sleep(ACCEPT_AGAIN_AFTER).await;
            continue;
        };
        let Some((place, sent_away)) = room.take() else { continue };
        let (site, tls) = (Arc::clone(&site), listener.tls());
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = hear(stream, tls, &site, place) => {}
                () = room::until(sent_away) => {}
            }
        });
        // What it has sent already is read before the next one comes.
        yield_now().await;
    }
}

async fn hear(stream: Box<dyn Stream>, tls: Option<TlsAcceptor>, site: &Site, place: Place) {
    let stream: Box<dyn Stream> = match tls {
        None => stream,
        Some(tls) => match timeout(ASK_WITHIN, tls.accept(stream)).await {
            Ok(Ok(stream)) => Box::new(stream),
            // A scanner, or a browser that does not trust the certificate.
            Ok(Err(_)) | Err(_) => return,
        },
    };
    converse(stream, site, &place).await;
}

/// One request and its answer: who wants more connects anew.
async fn converse(stream: Box<dyn Stream>, site: &Site, place: &Place) {
    let service = service_fn(|request| async move {
        place.has_asked();
        Ok::<_, Infallible>(answer(site, &request).await)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(ASK_WITHIN)
        .keep_alive(false)
        .max_buf_size(LONGEST_REQUEST);
    // What fails is the other end's: it has gone, or what it sent is no request.
    let _ = timeout(TAKE_WITHIN, http.serve_connection(TokioIo::new(stream), service)).await;
}
