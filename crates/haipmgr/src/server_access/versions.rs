//! What differs between MySQL's versions: columns and variables that came or went. Asked for, and taken as not there where the
//! server does not know them; a version's number is shown and never compared. docs/versions.md lists what was seen on which version.

use super::session::Error;

/// `ER_BAD_FIELD_ERROR`: unknown column.
const UNKNOWN_COLUMN: u16 = 1054;
/// `ER_NO_SUCH_TABLE`
const NO_SUCH_TABLE: u16 = 1146;

/// What of the question's columns the server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Columns {
    /// `replication_group_members.MEMBER_ROLE`: since 8.0.2 (release notes). Before, the status variable
    /// `group_replication_primary_member` names the primary; 8.3 removed that (release notes of 8.3.0).
    pub(crate) role: bool,
    /// `replication_group_member_stats.VIEW_ID`: in every version until now. Without it no view is known to be newer than another.
    pub(crate) view: bool,
}

impl Columns {
    /// As a server of today has them.
    pub(crate) const ALL: Self = Self { role: true, view: true };

    /// What is left to ask for after this answer; none where it is about something else.
    pub(crate) fn after(self, answer: &Error) -> Option<Self> {
        let Error::Server { code, message } = answer else { return None };
        match *code {
            UNKNOWN_COLUMN if self.role && message.contains("MEMBER_ROLE") => {
                Some(Self { role: false, ..self })
            }
            UNKNOWN_COLUMN if self.view && message.contains("VIEW_ID") => Some(Self { view: false, ..self }),
            NO_SUCH_TABLE if self.view && message.contains("replication_group_member_stats") => {
                Some(Self { view: false, ..self })
            }
            _ => None,
        }
    }
}

/// A variable that is read once, and that not every version has.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    /// What holds where the server does not have it.
    pub(crate) without: &'static str,
}

/// `group_replication_member_expel_timeout`: since 8.0.13 (MySQL 8.0 manual, 20.9.1).
pub(crate) const EXPEL_TIMEOUT: Variable = Variable {
    name: "group_replication_member_expel_timeout",
    without: "a member is expelled as soon as it is UNREACHABLE",
};
/// `group_replication_unreachable_majority_timeout`: since 5.7.19 (MySQL 5.7 manual, 17.9.1).
pub(crate) const MAJORITY_TIMEOUT: Variable = Variable {
    name: "group_replication_unreachable_majority_timeout",
    without: "a member without a majority stays as it is",
};
/// `group_replication_communication_stack`: since 8.0.27 (MySQL 8.0 manual, 20.9.1); deprecated since 26.7 (release notes).
pub(crate) const STACK: Variable = Variable {
    name: "group_replication_communication_stack",
    without: "whether the group has a port of its own is seen by group_replication_local_address",
};

#[cfg(test)]
mod tests {
    use super::*;

    fn said(code: u16, message: &str) -> Error {
        Error::Server { code, message: message.to_owned() }
    }

    #[test]
    fn a_column_that_the_server_does_not_know_is_not_asked_for_again() {
        let role = said(1054, "Unknown column 'm.MEMBER_ROLE' in 'field list'");
        let view = said(1054, "Unknown column 's.VIEW_ID' in 'field list'");
        let table = said(1146, "Table 'performance_schema.replication_group_member_stats' doesn't exist");
        let without_role = Columns { role: false, view: true };
        assert_eq!(Columns::ALL.after(&role), Some(without_role));
        assert_eq!(without_role.after(&role), None, "no endless asking");
        for gone in [view, table] {
            assert_eq!(without_role.after(&gone), Some(Columns { role: false, view: false }));
            assert_eq!(Columns::ALL.after(&gone), Some(Columns { role: true, view: false }));
        }
    }

    #[test]
    fn any_other_answer_is_no_matter_of_versions() {
        for other in [
            said(1142, "SELECT command denied to user for table 'replication_group_member_stats'"),
            said(1193, "Unknown system variable 'group_replication_single_primary_mode'"),
            said(1146, "Table 'performance_schema.replication_group_members' doesn't exist"),
            said(1054, "Unknown column 'm.MEMBER_PORT' in 'field list'"),
        ] {
            assert_eq!(Columns::ALL.after(&other), None, "{other}");
        }
    }
}
