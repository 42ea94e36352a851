//! Many agents on one virtual clock.
