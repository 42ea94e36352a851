//! Which planted mistake the model catches, and where.

use core::fmt;

use decide::planted::Planted;

use super::checked::{check, check_survivors};
use super::configuration::Configuration;
use oracle::Invariant;

/// So many steps of each configuration at the most: what is not caught by then counts as not caught.
const MOST: usize = 3_000_000;

/// A mistake that was caught.
#[derive(Clone, Copy, Debug)]
pub struct Caught {
    /// By this invariant.
    pub invariant: Invariant,
    /// In this configuration.
    pub configuration: &'static str,
    /// After so many states of it.
    pub states: usize,
    /// Steps from the start to the broken invariant.
    pub way: usize,
}

/// Plants it, and explores until it is caught.
///
/// # Errors
/// The states that were explored in vain.
pub fn catch(mistake: Planted) -> Result<Caught, usize> {
    let mut in_vain = 0;
    let each = Configuration::EACH.iter().map(|configuration| {
        check(&Configuration { planted: Some(mistake), ..configuration.clone() }, Some(MOST))
    });
    // These are the survivors' alone, and their side is apart.
    let of_survivors = matches!(
        mistake,
        Planted::ForgetRestore
            | Planted::SilenceProvesDeath
            | Planted::ExpelOnTheGroupsWordAlone
            | Planted::ExpelWhileNobodyIsHeard
    );
    let survivors = of_survivors.then(|| check_survivors(Some(MOST), |model| model.plant(Some(mistake))));
    for checked in survivors.into_iter().flatten().chain(each) {
        if let Some((invariant, way)) = checked.broken {
            let (configuration, states) = (checked.name, checked.states);
            return Ok(Caught { invariant, configuration, states, way: way.len() });
        }
        in_vain += checked.states;
    }
    Err(in_vain)
}

impl fmt::Display for Caught {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invariant, configuration, states, way } = self;
        write!(f, "{:18} {states:>8} states, {way:>3} steps  {configuration}", invariant.name())
    }
}
