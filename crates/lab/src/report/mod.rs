//! What people see of a run: a table, a live view in the terminal, a timeline picture, a file of figures.

pub mod budget;
pub mod csv;
pub mod live;
pub mod readers;
pub mod slowdown;
mod standing;
pub mod table;
pub mod timeline;

/// Bytes as megabytes of 1,000,000, for people to read.
pub fn megabytes(bytes: u64) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let bytes = bytes as f64;
    bytes / 1_000_000.0
}
