//! A server's rows: nobody is made a primary who is not shown as one. A line is a row, a tab parts cells, `\N` is NULL; the
//! first byte says whose dialect.
#![no_main]

use decide::input::{Role, Server, ViewId};
use haipmgr::fuzzing::{MYSQL_COLUMNS, mysql_rows};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(view) = text.parse::<ViewId>() {
        assert_eq!(view.to_string().parse(), Ok(view.clone()), "written as it is read");
        assert!(view.is_of_the_same_group(&view) && !view.is_newer_than(&view));
    }
    let (since_8_0_2, rows) = text.strip_prefix('5').map_or((true, text), |rest| (false, rest));
    let rows: Vec<[Option<String>; MYSQL_COLUMNS]> = rows
        .lines()
        .map(|line| {
            let mut cells = line.split('\t');
            std::array::from_fn(|_| cells.next().filter(|cell| *cell != "\\N").map(str::to_owned))
        })
        .collect();
    match mysql_rows(since_8_0_2, rows.clone()) {
        Err(words) => assert!(!words.is_empty()),
        Ok(server) => {
            let line = serde_json::to_string(&server).unwrap();
            assert_eq!(serde_json::from_str::<Server>(&line).unwrap(), server, "recorded as it is: {line}");
            let Server::Member(view) = &server else { return };
            assert_eq!(view.members.len(), rows.len(), "each row is a member");
            assert!(view.local_member().is_some());
            let primaries = view.members.iter().filter(|member| member.role == Role::Primary).count();
            assert!(primaries <= 1, "at most one primary");
            if view.is_writable_primary() {
                let [.., super_read_only, _, _] = &rows[0];
                assert!(matches!(super_read_only.as_deref(), Some("0" | "OFF")));
                let shown = |row: &[Option<String>; MYSQL_COLUMNS]| {
                    let [id, _, _, state, role, ..] = row;
                    let role = if since_8_0_2 { role.as_deref() == Some("PRIMARY") } else { role == id };
                    id.as_ref() == Some(&view.local) && state.as_deref() == Some("ONLINE") && role
                };
                assert!(rows.iter().any(shown), "the server itself shows it: {rows:?}");
            }
        }
    }
});
