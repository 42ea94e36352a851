//! Where a server stands, in one word and one colour for all views.

use crate::record::{Role, What};

/// Where a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// ONLINE, PRIMARY, writable, with a majority.
    Primary,
    /// PRIMARY, and does not take writes (yet).
    ReadOnlyPrimary,
    /// PRIMARY by its own word, and most of the group is out of its reach.
    NoMajority,
    Secondary,
    Recovering,
    /// In no group: OFFLINE, ERROR.
    OutOfGroup,
    /// Can't be asked.
    Silent,
    /// The host has no power.
    PowerOff,
    /// Nothing was said yet.
    Unknown,
}

impl Standing {
    /// What a record says of its host's server, if anything.
    pub(super) fn told_by(what: &What) -> Option<Self> {
        match what {
            What::Role(role) => Some(Self::of(role)),
            What::NoRole { .. } => Some(Self::Silent),
            What::HostDown => Some(Self::PowerOff),
            What::HostUp => Some(Self::Unknown),
            _ => None,
        }
    }

    fn of(role: &Role) -> Self {
        match (role.state.as_str(), role.role.as_str()) {
            ("ONLINE", "PRIMARY") if !role.has_majority() => Self::NoMajority,
            ("ONLINE", "PRIMARY") if role.super_read_only => Self::ReadOnlyPrimary,
            ("ONLINE", "PRIMARY") => Self::Primary,
            ("ONLINE", _) => Self::Secondary,
            ("RECOVERING", _) => Self::Recovering,
            _ => Self::OutOfGroup,
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::ReadOnlyPrimary => "PRIMARY, read-only",
            Self::NoMajority => "PRIMARY, no majority",
            Self::Secondary => "SECONDARY",
            Self::Recovering => "RECOVERING",
            Self::OutOfGroup => "out of the group",
            Self::Silent => "no answer",
            Self::PowerOff => "power off",
            Self::Unknown => "not known",
        }
    }

    /// Red, green, blue.
    pub(super) fn colour(self) -> (u8, u8, u8) {
        match self {
            Self::Primary => (0x2e, 0x9e, 0x4f),
            Self::ReadOnlyPrimary => (0xa8, 0xdd, 0xb5),
            Self::NoMajority => (0xf5, 0xa6, 0x23),
            Self::Secondary => (0xc3, 0xcf, 0xdb),
            Self::Recovering => (0xf3, 0xdc, 0x8c),
            Self::OutOfGroup => (0xe8, 0xa3, 0x9c),
            Self::Silent => (0xc0, 0x50, 0x4d),
            Self::PowerOff => (0x3a, 0x3a, 0x3a),
            Self::Unknown => (0xff, 0xff, 0xff),
        }
    }

    /// The colours' legend, in this order.
    pub(super) const LEGEND: [Self; 8] = [
        Self::Primary,
        Self::ReadOnlyPrimary,
        Self::NoMajority,
        Self::Secondary,
        Self::Recovering,
        Self::OutOfGroup,
        Self::Silent,
        Self::PowerOff,
    ];
}
