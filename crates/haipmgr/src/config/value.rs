//! A value as either kind of file holds it.

use zeroize::Zeroizing;

use super::problem::Position;

/// A value with its kind, whatever the file's language.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// It may be a password.
    Text(Zeroizing<String>),
    Whole(i128),
    Decimal(f64),
    Switch(bool),
    List(Vec<Value>),
    Table(Vec<Entry>),
    /// Of a kind that no key takes, by its name in the file's language.
    Other(&'static str),
}

impl Value {
    /// The kind, in words; never the value, which may be a password.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "text",
            Self::Whole(_) => "a whole number",
            Self::Decimal(_) => "a decimal number",
            Self::Switch(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
            Self::Other(kind) => kind,
        }
    }
}

/// One key with its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_at: Position,
    pub(super) value: Value,
    pub(super) value_at: Position,
}
