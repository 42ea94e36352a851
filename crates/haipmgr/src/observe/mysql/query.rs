//! The one query, of what the server's tables have, and what its rows say. No IO.

use decide::input::{GroupView, Member, MemberState, NotInGroup, Role, Server};

use crate::server_access::versions::Columns;

/// The question to a server that has these columns: one row a member.
///
/// Naming `@@group_replication_single_primary_mode` costs nothing, where looking it up in `performance_schema.global_variables` would
/// build that whole table; without the plugin the variable does not exist, and error 1193 says so. `VIEW_ID` is the asked server's own
/// view in every member's row: the first one is enough, for with each the server adds up that member's statistics, which with all of
/// them was 30 % of what the query cost.
pub(super) fn query(columns: Columns) -> String {
    let role = if columns.role {
        "m.MEMBER_ROLE"
    } else {
        "(SELECT g.VARIABLE_VALUE FROM performance_schema.global_status g \
         WHERE g.VARIABLE_NAME = 'group_replication_primary_member' LIMIT 1)"
    };
    let view = if columns.view {
        "(SELECT s.VIEW_ID FROM performance_schema.replication_group_member_stats s LIMIT 1)"
    } else {
        "NULL"
    };
    format!(
        "SELECT m.MEMBER_ID, m.MEMBER_HOST, m.MEMBER_PORT, m.MEMBER_STATE, {role}, @@GLOBAL.server_uuid, \
         @@GLOBAL.super_read_only, @@GLOBAL.group_replication_single_primary_mode, {view} \
         FROM performance_schema.replication_group_members m"
    )
}

/// How many columns each row has, whatever the server has.
pub(crate) const COLUMNS: usize = 9;

/// A row as text, NULL as none.
pub(crate) type Row = [Option<String>; COLUMNS];

/// The rows of [`query`] → what the server is. In words what could not be understood, if so.
pub(crate) fn understand(columns: Columns, rows: Vec<Row>) -> Result<Server, String> {
    let Some(first) = rows.first() else {
        return Ok(Server::NotInGroup(NotInGroup::PluginMissing));
    };
    let [.., local, super_read_only, single_primary, view] = first;
    let local = local.clone().filter(|id| !id.is_empty()).ok_or("the server shows no server_uuid")?;
    let super_read_only = switch(super_read_only.as_deref(), "super_read_only")?;
    let single_primary = switch(single_primary.as_deref(), "group_replication_single_primary_mode")?;
    // Before the first view the column is empty; a form of it that is not known proves nothing either.
    let view = view.as_deref().and_then(|text| text.parse().ok());
    let members = rows.into_iter().map(|row| member(columns, row)).collect::<Result<Vec<_>, _>>()?;

    let view = GroupView { local, super_read_only, view, members };
    let Some(state) = view.local_member().map(|member| member.state) else {
        return Ok(Server::NotInGroup(NotInGroup::NotRunning));
    };
    let primaries = view.members.iter().filter(|member| member.role == Role::Primary).count();
    if primaries > 1 || (!single_primary && state != MemberState::Offline) {
        return Ok(Server::NotInGroup(NotInGroup::MultiPrimary));
    }
    Ok(Server::Member(view))
}

fn member(columns: Columns, [id, host, port, state, role, ..]: Row) -> Result<Member, String> {
    let id = id.unwrap_or_default();
    let role = match role.as_deref() {
        // Without the column it is the primary's ID: empty outside a group and in multi-primary mode.
        None | Some("" | "UNDEFINED") => Role::None,
        Some(primary) if !columns.role && primary == id => Role::Primary,
        Some(_) if !columns.role => Role::Secondary,
        Some("PRIMARY") => Role::Primary,
        Some("SECONDARY") => Role::Secondary,
        // A fork's own, such as ARBITRATOR: a member like any other, and never entitled.
        Some(_) => Role::None,
    };
    let port = match port.as_deref() {
        // NULL before 5.7's member has joined.
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| format!("MEMBER_PORT \"{text}\" is no port"))?,
    };
    let state = match state.as_deref() {
        Some("ONLINE") => MemberState::Online,
        Some("RECOVERING") => MemberState::Recovering,
        Some("OFFLINE") => MemberState::Offline,
        Some("ERROR") => MemberState::Error,
        Some("UNREACHABLE") => MemberState::Unreachable,
        _ => MemberState::Other,
    };
    Ok(Member { id, host: host.unwrap_or_default(), port, state, role })
}

fn switch(text: Option<&str>, variable: &str) -> Result<bool, String> {
    match text {
        Some("1" | "ON") => Ok(true),
        Some("0" | "OFF") => Ok(false),
        _ => Err(format!("the server shows {variable} as {}", text.unwrap_or("NULL"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use decide::input::ViewId;

    const TODAY: Columns = Columns::ALL;
    const V57: Columns = Columns { role: false, view: true };
    const A: &str = "a00f1f9b-e6c5-11f1-a3c0-bae756fae178";
    const B: &str = "b11f1f9b-e6c5-11f1-a3c0-bae756fae178";
    const C: &str = "c22f1f9b-e6c5-11f1-a3c0-bae756fae178";
    const VIEW: &str = "17953872290134842:7";

    fn row(cells: [&str; COLUMNS]) -> Row {
        cells.map(|cell| (cell != "NULL").then(|| cell.to_owned()))
    }

    fn view_of(columns: Columns, rows: &[[&str; COLUMNS]]) -> GroupView {
        match understand(columns, rows.iter().copied().map(row).collect()).unwrap() {
            Server::Member(view) => view,
            other => panic!("{other:?}"),
        }
    }

    fn reason(columns: Columns, rows: &[[&str; COLUMNS]]) -> NotInGroup {
        match understand(columns, rows.iter().copied().map(row).collect()).unwrap() {
            Server::NotInGroup(reason) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_97_primary_with_two_secondaries_is_a_writable_primary() {
        let view = view_of(
            TODAY,
            &[
                [B, "db2", "3306", "ONLINE", "SECONDARY", A, "0", "1", VIEW],
                [A, "db1", "3306", "ONLINE", "PRIMARY", A, "0", "1", VIEW],
                [C, "db3", "3306", "UNREACHABLE", "SECONDARY", A, "0", "1", VIEW],
            ],
        );
        assert!(view.is_writable_primary());
        assert_eq!(view.view, Some(ViewId::new("17953872290134842", 7)));
        assert_eq!(view.unreachable(), 1);
        assert_eq!(view.members[0].host, "db2");
    }

    #[test]
    fn the_query_names_only_what_the_server_has() {
        assert!(query(TODAY).contains("m.MEMBER_ROLE") && query(TODAY).contains("VIEW_ID"));
        assert!(!query(V57).contains("MEMBER_ROLE"));
        assert!(!query(Columns { view: false, ..TODAY }).contains("member_stats"));
    }

    #[test]
    fn a_role_that_only_a_fork_has_is_never_entitled_and_is_a_member_like_any_other() {
        let arbitrator = [
            [A, "db1", "3306", "ONLINE", "ARBITRATOR", A, "0", "1", VIEW],
            [B, "db2", "3306", "ONLINE", "PRIMARY", A, "0", "1", VIEW],
            [C, "db3", "3306", "UNREACHABLE", "SECONDARY", A, "0", "1", VIEW],
        ];
        let view = view_of(TODAY, &arbitrator);
        assert!(!view.is_primary() && !view.is_writable_primary());
        assert_eq!(view.local_member().unwrap().role, Role::None);
        assert_eq!((view.members.len(), view.unreachable()), (3, 1));
        let view = view_of(
            TODAY,
            &[arbitrator[1], arbitrator[0]].map(|mut row| {
                row[5] = B;
                row
            }),
        );
        assert!(view.is_writable_primary(), "it takes nothing from the primary");
    }

    #[test]
    fn without_the_view_a_primary_is_one_and_no_view_is_known() {
        let columns = Columns { view: false, ..TODAY };
        let view = view_of(columns, &[[A, "db1", "3306", "ONLINE", "PRIMARY", A, "0", "1", "NULL"]]);
        assert!(view.is_writable_primary());
        assert_eq!(view.view, None);
    }

    #[test]
    fn in_57_the_primary_is_known_by_the_status_variable() {
        let rows = [
            [A, "db1", "3306", "ONLINE", B, A, "1", "1", VIEW],
            [B, "db2", "3306", "ONLINE", B, A, "1", "1", VIEW],
        ];
        let view = view_of(V57, &rows);
        assert_eq!(view.members.iter().map(|m| m.role).collect::<Vec<_>>(), [Role::Secondary, Role::Primary]);
        assert!(!view.is_primary());
    }

    #[test]
    fn in_57_a_status_that_names_nobody_makes_nobody_primary() {
        for nobody in ["", "UNDEFINED", "NULL"] {
            let view = view_of(V57, &[[A, "db1", "3306", "ONLINE", nobody, A, "0", "1", VIEW]]);
            assert!(!view.is_primary());
        }
    }

    #[test]
    fn in_57_a_plugin_that_is_not_started_shows_a_row_without_an_id_and_is_not_running() {
        let rows = [["", "", "NULL", "OFFLINE", "", A, "0", "1", "NULL"]];
        assert_eq!(reason(V57, &rows), NotInGroup::NotRunning);
    }

    #[test]
    fn a_member_that_left_the_group_is_shown_with_its_state() {
        let rows = [[A, "127.0.0.1", "3306", "OFFLINE", "", A, "0", "1", ""]];
        let view = view_of(TODAY, &rows);
        assert_eq!(view.local_member().unwrap().state, MemberState::Offline);
        assert_eq!(view.local_member().unwrap().role, Role::None);
        assert_eq!(view.view, None);
        for (text, state) in [("ERROR", MemberState::Error), ("RECOVERING", MemberState::Recovering)] {
            let view = view_of(TODAY, &[[A, "", "3306", text, "", A, "1", "1", VIEW]]);
            assert_eq!(view.local_member().unwrap().state, state);
        }
    }

    #[test]
    fn a_state_of_a_later_version_is_not_taken_for_online() {
        let view = view_of(TODAY, &[[A, "db1", "3306", "WARMING", "PRIMARY", A, "0", "1", VIEW]]);
        assert!(!view.is_primary());
    }

    #[test]
    fn no_rows_mean_that_the_plugin_is_not_active() {
        assert_eq!(reason(TODAY, &[]), NotInGroup::PluginMissing);
    }

    #[test]
    fn multi_primary_mode_is_known_with_one_member_and_with_several() {
        let one = [[A, "db1", "3306", "ONLINE", "PRIMARY", A, "0", "0", VIEW]];
        assert_eq!(reason(TODAY, &one), NotInGroup::MultiPrimary);
        let two = [
            [A, "db1", "3306", "ONLINE", "PRIMARY", A, "0", "1", VIEW],
            [B, "db2", "3306", "ONLINE", "PRIMARY", A, "0", "1", VIEW],
        ];
        assert_eq!(reason(TODAY, &two), NotInGroup::MultiPrimary);
        let in_57 = [[A, "db1", "3306", "ONLINE", "", A, "0", "0", VIEW]];
        assert_eq!(reason(V57, &in_57), NotInGroup::MultiPrimary);
    }

    #[test]
    fn nonsense_is_refused_in_words_and_never_taken_for_an_answer() {
        for rows in [
            [[A, "db1", "3306", "ONLINE", "PRIMARY", A, "NULL", "1", VIEW]],
            [[A, "db1", "3306", "ONLINE", "PRIMARY", "NULL", "0", "1", VIEW]],
            [[A, "db1", "70000", "ONLINE", "PRIMARY", A, "0", "1", VIEW]],
        ] {
            assert!(understand(TODAY, rows.into_iter().map(row).collect()).is_err());
        }
    }
}
