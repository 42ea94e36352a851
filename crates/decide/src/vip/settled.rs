//! What comes of a claim to what is held here.

use crate::output::LetGo;

/// What comes of it.
pub(super) enum Settled {
    /// The claimant has the better right.
    Yield(LetGo),
    /// It has none.
    Stay,
    /// That is not known yet.
    NotYet,
}
