//! One watch of a gateway for all clusters that are to know of it: with one each, a hundred clusters would send a hundred times
//! the echoes, and each would receive the answers to all.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use decide::input::{Gateway, Seen};
use decide::time::Time;

use super::{GatewaySettings, GatewayWatch, watch};

/// The gateways that are being watched.
#[derive(Clone, Debug, Default)]
pub struct Gateways(Arc<Mutex<Vec<Weak<One>>>>);

/// One cluster's part in a watch; the watch ends with the last.
#[derive(Debug)]
pub struct SharedGateway {
    number: u64,
    one: Arc<One>,
}

#[derive(Debug)]
struct One {
    settings: GatewaySettings,
    hearers: Hearers,
    watch: GatewayWatch,
}

#[derive(Clone, Default)]
struct Hearers(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    all: BTreeMap<u64, Hearer>,
    next: u64,
    last: Option<Seen<Gateway>>,
}

struct Hearer {
    tell: Box<dyn Fn(Seen<Gateway>) + Send>,
    arp_probe: Box<dyn Fn() + Send>,
}

impl Hearers {
    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Hearers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hearers")
    }
}

impl Gateways {
    /// As [`watch`]; a gateway that is watched with the same settings already is not probed once more. What is known of it
    /// is told at once.
    pub fn watch(
        &self,
        settings: GatewaySettings,
        tell: impl Fn(Seen<Gateway>) + Send + 'static,
        arp_probe: impl Fn() + Send + 'static,
    ) -> SharedGateway {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        let known = all.iter().filter_map(Weak::upgrade).find(|one| one.settings == settings);
        let one = known.unwrap_or_else(|| {
            let one = Arc::new(One::start(settings));
            all.push(Arc::downgrade(&one));
            one
        });
        let number = {
            let mut hearers = one.hearers.lock();
            if let Some(last) = &hearers.last {
                tell(last.clone());
            }
            hearers.next += 1;
            let number = hearers.next;
            hearers.all.insert(number, Hearer { tell: Box::new(tell), arp_probe: Box::new(arp_probe) });
            number
        };
        SharedGateway { number, one }
    }
}

impl One {
    fn start(settings: GatewaySettings) -> Self {
        let hearers = Hearers::default();
        let tell = {
            let hearers = hearers.clone();
            move |seen: Seen<Gateway>| {
                let mut hearers = hearers.lock();
                for hearer in hearers.all.values() {
                    (hearer.tell)(seen.clone());
                }
                hearers.last = Some(seen);
            }
        };
        let arp_probe = {
            let hearers = hearers.clone();
            // They are all on the same interface: one asks for all.
            move || {
                if let Some(hearer) = hearers.lock().all.values().next() {
                    (hearer.arp_probe)();
                }
            }
        };
        let watch = watch(settings.clone(), tell, arp_probe);
        Self { settings, hearers, watch }
    }
}

impl SharedGateway {
    /// As [`GatewayWatch::ask_now`].
    pub fn ask_now(&self) {
        self.one.watch.ask_now();
    }

    /// As [`GatewayWatch::heard_arp`].
    pub fn heard_arp(&self, asked_at: Time) {
        self.one.watch.heard_arp(asked_at);
    }
}

impl Drop for SharedGateway {
    fn drop(&mut self) {
        self.one.hearers.lock().all.remove(&self.number);
    }
}
