//! What people see of a run: a table, a live view in the terminal, a timeline picture, a file of figures.

pub mod budget;
pub mod csv;
pub mod live;
mod standing;
pub mod table;
pub mod timeline;
