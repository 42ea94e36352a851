//! The agent's account on one member: whether it logs in, with TLS or not, and what it may do. Pure.

use super::line::{Level, Line};
use super::server::{Asked, Refusal, Said};

/// `ER_NO_SUCH_USER`: a procedure's definer does not exist.
const NO_DEFINER: u16 = 1449;
/// `ER_SPECIFIC_ACCESS_DENIED_ERROR`: the definer lacks a privilege.
const DEFINER_LACKS: u16 = 1227;
/// The account that the procedures run as (`haipmgr sql`).
const DEFINER: &str = "haipmgr_definer@localhost";

/// What a right is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum For {
    /// The agent sees nothing without it.
    Everything,
    /// A dead member is expelled on time.
    Expelling,
    /// `haipmgr switchover` and `drain`.
    Switchover,
}

/// One right that `haipmgr sql` grants.
struct Right {
    name: &'static str,
    privilege: &'static str,
    object: &'static str,
    needed_for: For,
}

const fn call(name: &'static str, object: &'static str, needed_for: For) -> Right {
    Right { name, privilege: "EXECUTE", object, needed_for }
}

const RIGHTS: [Right; 9] = [
    Right {
        name: "grant-select",
        privilege: "SELECT",
        object: "performance_schema.*",
        needed_for: For::Everything,
    },
    call("grant-wake-expel", "PROCEDURE haipmgr.wake_expel", For::Expelling),
    call("grant-expel-unreachable-now", "PROCEDURE haipmgr.expel_unreachable_now", For::Expelling),
    call("grant-restore-expel-timeout", "PROCEDURE haipmgr.restore_expel_timeout", For::Expelling),
    call("grant-make-primary", "PROCEDURE haipmgr.make_primary", For::Switchover),
    Right {
        name: "grant-xa-recover",
        privilege: "XA_RECOVER_ADMIN",
        object: "*.*",
        needed_for: For::Switchover,
    },
    call("grant-changed-rows", "PROCEDURE haipmgr.changed_rows", For::Switchover),
    call("grant-shorten-checkpoint-period", "PROCEDURE haipmgr.shorten_checkpoint_period", For::Switchover),
    call("grant-restore-checkpoint-period", "PROCEDURE haipmgr.restore_checkpoint_period", For::Switchover),
];

/// What the configuration asks of the account.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// `wake_expel`, `proven_dead` or a `fence_command` is on.
    pub(super) expels: bool,
    /// `tls_ca` is given.
    pub(super) verifies: bool,
    /// Over TCP, and not the socket file.
    pub(super) over_network: bool,
}

/// Whether the procedures that expel a dead member can be called, as far as grants tell.
pub(super) fn may_expel(said: &Said) -> bool {
    let grants = said.grants.as_ref().map(|grants| Grants::read(grants));
    let expelling = || RIGHTS.iter().filter(|right| right.needed_for == For::Expelling);
    grants.is_ok_and(|grants| expelling().all(|right| grants.have(right)))
        && !matches!(&said.changed_rows, Err(Refusal { code: Some(NO_DEFINER), .. }))
}

/// The login, and the account's rights.
pub(super) fn lines(asked: &Asked, wanted: Wanted) -> Vec<Line> {
    let said = match &asked.said {
        Err(refusal) => return vec![not_logged_in(refusal).of(asked.address)],
        Ok(said) => said,
    };
    let mut lines = vec![Line::ok("login", format!("{} logs in", said.account))];
    lines.push(tls(said, wanted));
    lines.extend(rights(said, wanted));
    lines.extend(definer(said));
    lines.into_iter().map(|line| line.of(asked.address)).collect()
}

fn not_logged_in(refusal: &Refusal) -> Line {
    let mend = if refusal.words.contains("wrong user or password") {
        "compare user and password_file with the account; on the primary: ALTER USER … IDENTIFIED BY …, or what haipmgr sql prints"
    } else if refusal.words.contains("TLS") {
        "compare tls_ca, tls_cert and tls_key with the server's: SHOW GLOBAL VARIABLES LIKE 'ssl%'"
    } else if refusal.words.contains("too many connections") {
        "raise max_connections, or end sessions; haipmgr needs one connection from each member's host"
    } else if refusal.words.contains("offline mode") {
        "SET GLOBAL offline_mode = OFF; where Group Replication set it, look at why the member was expelled first"
    } else {
        "look at mysqld on that host: systemctl status mysql; its MySQL port must be open to every member's host"
    };
    Line::problem("login", format!("its server cannot be asked: {}", refusal.words), mend)
}

fn tls(said: &Said, wanted: Wanted) -> Line {
    match (&said.cipher, wanted) {
        (_, Wanted { over_network: false, .. }) => {
            Line::ok("tls", "by the socket file: no network is crossed")
        }
        (Some(cipher), Wanted { verifies: true, .. }) => {
            Line::ok("tls", format!("{cipher}, verified with tls_ca"))
        }
        (Some(cipher), _) => Line::ok("tls", format!("{cipher}, not verified: tls_ca is not given")),
        (None, _) => Line::advice(
            "tls",
            "the agent's login has no TLS: the server offers none, or none that works",
            "see why: SHOW GLOBAL STATUS LIKE 'Ssl_server_not%'; set ssl_cert and ssl_key, then: ALTER INSTANCE RELOAD TLS;",
        ),
    }
}

fn rights(said: &Said, wanted: Wanted) -> Vec<Line> {
    let grants = match &said.grants {
        Ok(grants) => Grants::read(grants),
        Err(refusal) => return vec![Line::not_looked_at("grant-select", &refusal.words, "SHOW GRANTS;")],
    };
    let needed = RIGHTS.iter().filter(|right| right.needed_for != For::Expelling || wanted.expels);
    let mut lines: Vec<Line> = needed.map(|right| of_right(right, said, &grants)).collect();
    let all = lines.len();
    lines.retain(|line| line.level != Level::Ok);
    let rights = all - lines.len();
    if rights > 0 {
        lines.push(Line::ok(
            "grants",
            format!("{} has {rights} of the {all} rights that haipmgr sql grants", said.account),
        ));
    }
    lines
}

fn of_right(right: &Right, said: &Said, grants: &Grants) -> Line {
    let Right { name, privilege, object, needed_for } = *right;
    if grants.have(right) {
        let procedure = object.strip_prefix("PROCEDURE haipmgr.");
        let there =
            |name: &str| said.procedures.as_ref().map_or(true, |all| all.iter().any(|one| one == name));
        return match procedure {
            Some(procedure) if !there(procedure) => Line::advice(
                name,
                format!("{} may call haipmgr.{procedure}, and there is no such procedure", said.account),
                "run what haipmgr sql prints on the primary",
            ),
            _ => Line::ok(name, format!("{} has {privilege} on {object}", said.account)),
        };
    }
    let account = account_in_quotes(&said.account);
    let grant = format!("GRANT {privilege} ON {object} TO {account};");
    let lacks = format!("{} lacks {privilege} on {object}", said.account);
    match needed_for {
        For::Everything => Line::problem(
            name,
            format!("{lacks}: the agent sees nothing of the group"),
            format!("on the primary: {grant}"),
        ),
        For::Expelling => Line::advice(
            name,
            format!("{lacks}: a dead member is expelled no sooner than by MySQL alone"),
            format!(
                "on the primary, and before it the CREATE PROCEDURE of haipmgr sql where it is not there: {grant}"
            ),
        ),
        For::Switchover => Line::advice(
            name,
            format!("{lacks}: haipmgr switchover and drain can't work, or not look at everything"),
            format!("on the primary, and before it what haipmgr sql prints where it is not there: {grant}"),
        ),
    }
}

/// The procedures' definer: by the one procedure that changes nothing.
fn definer(said: &Said) -> Option<Line> {
    match said.changed_rows.as_ref().err()?.code? {
        NO_DEFINER => Some(Line::problem(
            "definer",
            format!("the procedures' definer {DEFINER} does not exist: none of them works"),
            "run what haipmgr sql prints on the primary",
        )),
        DEFINER_LACKS => Some(Line::advice(
            "definer",
            format!(
                "the procedures' definer {DEFINER} lacks PROCESS: haipmgr switchover does not see what it would meet"
            ),
            "on the primary: GRANT GROUP_REPLICATION_ADMIN, PROCESS ON *.* TO 'haipmgr_definer'@'localhost';",
        )),
        _ => None,
    }
}

/// `haip@10.77.%` as `'haip'@'10.77.%'`.
fn account_in_quotes(account: &str) -> String {
    let (user, host) = account.rsplit_once('@').unwrap_or((account, "%"));
    let quoted = |text: &str| text.replace('\\', "\\\\").replace('\'', "''");
    format!("'{}'@'{}'", quoted(user), quoted(host))
}

/// What SHOW GRANTS says.
struct Grants(Vec<(Vec<String>, String)>);

impl Grants {
    /// ``GRANT SELECT, EXECUTE ON `haipmgr`.* TO `haip`@`%` ``. What is no such row (a role) is left out.
    fn read(rows: &[String]) -> Self {
        let of = |row: &String| {
            let (privileges, rest) = row.strip_prefix("GRANT ")?.split_once(" ON ")?;
            let (object, _) = rest.split_once(" TO ")?;
            let privileges = privileges.split(',').map(|one| one.trim().to_uppercase()).collect();
            Some((privileges, object.replace(['`', '\\'], "")))
        };
        Self(rows.iter().filter_map(of).collect())
    }

    fn have(&self, right: &Right) -> bool {
        let object = right.object.strip_prefix("PROCEDURE ").unwrap_or(right.object);
        let schema = object.split_once('.').map_or("*", |(schema, _)| schema);
        let wider = [right.object.to_owned(), format!("{schema}.*"), "*.*".to_owned()];
        // A dynamic privilege is not among ALL PRIVILEGES: SHOW GRANTS names each.
        let all = |privilege: &String| privilege == "ALL PRIVILEGES" && right.privilege != "XA_RECOVER_ADMIN";
        self.0.iter().any(|(privileges, of)| {
            wider.contains(of) && privileges.iter().any(|one| one == right.privilege || all(one))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::server::tests::{asked, refusal, said};
    use super::*;
    use crate::server_access::account::{account_sql, checkpoint_sql, election_sql, switchover_sql};

    const WANTED: Wanted = Wanted { expels: true, verifies: false, over_network: true };

    fn named<'a>(lines: &'a [Line], name: &str) -> &'a Line {
        lines.iter().find(|line| line.name == name).unwrap()
    }

    #[test]
    fn what_is_looked_for_is_what_haipmgr_sql_grants() {
        let sql =
            account_sql("haip") + &election_sql("haip") + &switchover_sql("haip") + &checkpoint_sql("haip");
        let granted: Vec<&str> = sql.lines().filter(|line| line.ends_with("TO 'haip'@'%';")).collect();
        let looked_for: Vec<String> = RIGHTS
            .iter()
            .map(|right| format!("GRANT {} ON {} TO 'haip'@'%';", right.privilege, right.object))
            .collect();
        assert_eq!(granted, looked_for);
    }

    #[test]
    fn an_account_with_all_rights_has_nothing_to_mend() {
        let lines = lines(&asked(12, Ok(said())), WANTED);
        assert!(lines.iter().all(|line| line.level == Level::Ok), "{lines:?}");
        assert!(may_expel(&said()));
    }

    #[test]
    fn each_missing_right_is_named_with_its_grant() {
        for right in &RIGHTS {
            let mut said = said();
            let object = right.object.replace("PROCEDURE ", "PROCEDURE `").replace("haipmgr.", "haipmgr`.`");
            said.grants.as_mut().unwrap().retain(|row| {
                let row = row.replace('`', "");
                !row.contains(&format!(" ON {} ", object.replace('`', ""))) || !row.contains(right.privilege)
            });
            said.account = "haip@10.77.%".into();
            let lines = lines(&asked(12, Ok(said)), WANTED);
            let line = named(&lines, right.name);
            assert_ne!(line.level, Level::Ok, "{}", right.name);
            let grant = format!("GRANT {} ON {} TO 'haip'@'10.77.%';", right.privilege, right.object);
            assert!(line.mend.as_ref().unwrap().contains(&grant), "{line}");
            assert_eq!(lines.iter().filter(|line| line.level != Level::Ok).count(), 1, "{lines:?}");
        }
    }

    #[test]
    fn wider_rights_do_as_well() {
        let mut said = said();
        said.grants = Ok(vec![
            "GRANT ALL PRIVILEGES ON *.* TO `haip`@`%` WITH GRANT OPTION".into(),
            "GRANT XA_RECOVER_ADMIN,ROLE_ADMIN ON *.* TO `haip`@`%`".into(),
        ]);
        assert!(lines(&asked(12, Ok(said.clone())), WANTED).iter().all(|line| line.level == Level::Ok));
        said.grants.as_mut().unwrap().pop();
        assert_eq!(named(&lines(&asked(12, Ok(said)), WANTED), "grant-xa-recover").level, Level::Advice);
    }

    #[test]
    fn a_missing_procedure_or_definer_is_named() {
        let mut said = said();
        said.procedures.as_mut().unwrap().retain(|name| name != "wake_expel");
        said.changed_rows = Err(refusal(Some(1449), "the user specified as a definer does not exist"));
        assert!(!may_expel(&said));
        let lines = lines(&asked(12, Ok(said)), WANTED);
        assert!(named(&lines, "grant-wake-expel").says.contains("no such procedure"));
        assert_eq!(named(&lines, "definer").level, Level::Problem);
    }

    #[test]
    fn a_definer_without_process_is_named() {
        let mut said = said();
        said.changed_rows = Err(refusal(Some(1227), "you need PROCESS"));
        assert!(
            named(&lines(&asked(12, Ok(said)), WANTED), "definer")
                .mend
                .as_ref()
                .unwrap()
                .contains("PROCESS ON *.*")
        );
    }

    #[test]
    fn what_the_configuration_does_not_use_is_not_asked_for() {
        let mut said = said();
        said.grants.as_mut().unwrap().retain(|row| !row.contains("expel"));
        let wanted = Wanted { expels: false, ..WANTED };
        assert!(lines(&asked(12, Ok(said)), wanted).iter().all(|line| line.level == Level::Ok));
    }

    #[test]
    fn a_server_that_does_not_answer_is_one_line_and_says_what_to_look_at() {
        for (words, mend) in [
            ("no answer within 2 s", "systemctl status"),
            ("wrong user or password: error 1045", "password_file"),
            ("TLS: the certificate is not trusted", "tls_ca"),
            ("too many connections: error 1040", "max_connections"),
            ("the server is in offline mode", "offline_mode = OFF"),
        ] {
            let lines = lines(&asked(12, Err(refusal(None, words))), WANTED);
            assert_eq!((lines.len(), lines[0].level, lines[0].name), (1, Level::Problem, "login"));
            assert!(lines[0].says.contains(words) && lines[0].mend.as_ref().unwrap().contains(mend));
        }
    }

    #[test]
    fn a_login_without_tls_is_advice_but_by_the_socket_file() {
        let plain = Said { cipher: None, ..said() };
        assert_eq!(named(&lines(&asked(12, Ok(plain.clone())), WANTED), "tls").level, Level::Advice);
        let by_socket = Wanted { over_network: false, ..WANTED };
        assert_eq!(named(&lines(&asked(12, Ok(plain)), by_socket), "tls").level, Level::Ok);
    }
}
