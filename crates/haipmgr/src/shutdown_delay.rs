//! logind's word that the host is about to go down, and the delay lock with which it waits for us: `org.freedesktop.login1`, over D-Bus.
//!
//! Only `systemctl reboot` and its like ask logind; what goes down without it (`reboot --force`, a power cut) waits for nobody. Between
//! logind's words nothing here wakes up.

use std::io::ErrorKind;
use std::time::Duration;

use futures_util::StreamExt as _;
use serde::Serialize;
use tokio::time::timeout;
use zbus::message::{Body, Type};
use zbus::names::UniqueName;
use zbus::{Connection, DynamicType, MatchRule, MessageStream, OwnedFd, OwnedVariant, connection, fdo};

const LOGIND: &str = "org.freedesktop.login1";
const PATH: &str = "/org/freedesktop/login1";
const MANAGER: &str = "org.freedesktop.login1.Manager";
/// What logind says when the host goes down, and when it does not after all.
const PREPARE: &str = "PrepareForShutdown";
/// In microseconds.
const MOST: &str = "InhibitDelayMaxUSec";

/// Who holds the lock, and why, for `systemd-inhibit --list`.
const WHO: &str = "haipmgr";
const WHY: &str = "another host takes the VIP first (haipmgr drain)";

/// What a call may take: as long as D-Bus itself gives a service to be started.
const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// What the connection, and the lock with it, may take: some such calls.
const OPEN_WITHIN: Duration = Duration::from_secs(60);
/// logind's own default, where it does not say.
const MOST_BY_DEFAULT: Duration = Duration::from_secs(5);
/// logind is to see the lock let go of before its patience is over; where that is short, half of it is ours.
const SPARE: Duration = Duration::from_millis(500);

/// Why logind does not wait for us.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// There is no system bus, or it has no place for us.
    #[error("no D-Bus: {0}")]
    NoBus(#[source] zbus::Error),
    /// Nobody is logind there.
    #[error("no logind: {0}")]
    NoLogind(#[source] zbus::Error),
    /// It refuses.
    #[error(
        "logind refuses the lock: {0}; a user that is not root needs polkit (Debian's polkitd) and its rule: /usr/share/polkit-1/rules.d/haipmgr.rules"
    )]
    Denied(#[source] zbus::Error),
    /// A call failed otherwise.
    #[error("logind answers with an error: {0}")]
    Failed(#[source] zbus::Error),
    /// It takes too long.
    #[error("D-Bus or logind does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It is configured so.
    #[error("logind waits for nobody: InhibitDelayMaxSec=0 in logind.conf")]
    WaitsForNobody,
    /// The connection has ended.
    #[error("the connection to D-Bus has ended")]
    Lost,
}

/// logind, which tells us.
#[derive(Debug)]
pub struct Logind {
    bus: Connection,
    words: MessageStream,
    /// None while it is somebody else's: the host goes down.
    lock: Option<OwnedFd>,
}

/// What logind says.
#[derive(Debug)]
pub enum Word {
    /// The host goes down once the lock is dropped, or at the latest when logind's patience is over.
    GoesDown(Lock),
    /// It does not go down after all. The lock is taken anew.
    GoesOn,
}

/// While it is there the host does not go down.
#[derive(Debug)]
pub struct Lock {
    _held: OwnedFd,
    /// So long it can be held to some effect.
    pub within: Duration,
}

impl Logind {
    /// Takes the lock.
    ///
    /// # Errors
    /// There is no D-Bus, no logind, or it refuses.
    pub async fn open() -> Result<Self, Unavailable> {
        let opened = timeout(OPEN_WITHIN, Self::try_to_open()).await;
        opened.unwrap_or(Err(Unavailable::Silent(OPEN_WITHIN)))
    }

    async fn try_to_open() -> Result<Self, Unavailable> {
        let bus = connection::Builder::system().method_timeout(ANSWER_WITHIN).build().await;
        let bus = bus.map_err(Unavailable::NoBus)?;
        // The sender is looked at when it has spoken: of a rule, the bus alone would know who is called so.
        let rule = MatchRule::builder().msg_type(Type::Signal).path(PATH).interface(MANAGER);
        let rule = rule.member(PREPARE).build().map_err(Unavailable::NoBus)?;
        let words = MessageStream::for_match_rule(rule, &bus, None).await.map_err(Unavailable::NoBus)?;
        let mut logind = Self { bus, words, lock: None };
        // The first call has D-Bus start it where it does not run yet.
        if logind.most().await?.is_zero() {
            return Err(Unavailable::WaitsForNobody);
        }
        logind.take_lock().await?;
        Ok(logind)
    }

    /// Its next word. Never comes back where there is none.
    ///
    /// # Errors
    /// There will be no more.
    pub async fn next(&mut self) -> Result<Word, Unavailable> {
        loop {
            let word = self.words.next().await.ok_or(Unavailable::Lost)?.map_err(|_| Unavailable::Lost)?;
            if !self.is_from_logind(&word).await? {
                continue;
            }
            match (word.body().deserialize(), self.lock.take()) {
                (Ok(true), Some(held)) => {
                    let within = self.most().await.unwrap_or(MOST_BY_DEFAULT);
                    return Ok(Word::GoesDown(Lock { _held: held, within: ours_of(within) }));
                }
                (Ok(false), _) => {
                    self.take_lock().await?;
                    return Ok(Word::GoesOn);
                }
                // It is said twice, or is no word that we know.
                (_, held) => self.lock = held,
            }
        }
    }

    /// Whoever may use the bus may send us any signal.
    async fn is_from_logind(&self, word: &zbus::Message) -> Result<bool, Unavailable> {
        let owner = self.call(
            "org.freedesktop.DBus",
            "/org/freedesktop/DBus",
            "org.freedesktop.DBus",
            "GetNameOwner",
            &LOGIND,
        );
        match owner.await {
            Ok(owner) => {
                Ok(owner.deserialize::<&str>().ok() == word.header().sender().map(UniqueName::as_str))
            }
            Err(Unavailable::Failed(_) | Unavailable::NoLogind(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// How long it waits for anybody.
    async fn most(&self) -> Result<Duration, Unavailable> {
        let asked =
            self.call(LOGIND, PATH, "org.freedesktop.DBus.Properties", "Get", &(MANAGER, MOST)).await?;
        let value: Result<OwnedVariant, _> = asked.deserialize();
        let micros = value.ok().and_then(|value| u64::try_from(value).ok());
        Ok(micros.map_or(MOST_BY_DEFAULT, Duration::from_micros))
    }

    async fn take_lock(&mut self) -> Result<(), Unavailable> {
        let given = self.call(LOGIND, PATH, MANAGER, "Inhibit", &("shutdown", WHO, WHY, "delay")).await?;
        self.lock = Some(given.deserialize().map_err(Unavailable::Failed)?);
        Ok(())
    }

    async fn call(
        &self,
        to: &str,
        path: &str,
        interface: &str,
        method: &str,
        arguments: &(impl Serialize + DynamicType),
    ) -> Result<Body, Unavailable> {
        let answer = self.bus.call_method(Some(to), path, Some(interface), method, arguments).await;
        answer.map(|answer| answer.body()).map_err(Unavailable::from)
    }
}

impl From<zbus::Error> for Unavailable {
    fn from(error: zbus::Error) -> Self {
        use fdo::Error::{AccessDenied, InteractiveAuthorizationRequired, NameHasNoOwner, ServiceUnknown};
        match &error {
            zbus::Error::FDO(said) => match **said {
                AccessDenied(_) | InteractiveAuthorizationRequired(_) => Self::Denied(error),
                ServiceUnknown(_) | NameHasNoOwner(_) => Self::NoLogind(error),
                _ => Self::Failed(error),
            },
            zbus::Error::InputOutput(cause) if cause.kind() == ErrorKind::TimedOut => {
                Self::Silent(ANSWER_WITHIN)
            }
            zbus::Error::InputOutput(_) => Self::Lost,
            _ => Self::Failed(error),
        }
    }
}

/// So much of its patience is ours.
fn ours_of(most: Duration) -> Duration {
    most.saturating_sub(SPARE).max(most / 2)
}
