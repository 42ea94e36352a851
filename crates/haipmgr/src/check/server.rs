//! One member's server: the questions, and what it says. All members are asked at the same time; each answer has a limit, and a
//! server that does not answer one question is asked no more.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::join_all;

use crate::server_access::account::{CHANGED, USABLE_PROCEDURES};
use crate::server_access::agent_shown::{AgentShown, QUESTION};
use crate::server_access::kept_session::KeptSession;
use crate::server_access::session::Rows;
use crate::server_access::{Access, After};

/// For the connection, and for each answer.
pub(super) const LIMIT: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The server's own number for it.
    pub(super) code: Option<u16>,
    pub(super) words: String,
}

/// An answer, or why there is none.
pub(super) type Known<T> = Result<T, Refusal>;

/// A member of the configuration, and what its server said.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// As in `members`.
    pub(super) address: IpAddr,
    pub(super) said: Known<Said>,
}

/// What a server says.
#[derive(Clone, Debug)]
pub(super) struct Said {
    /// `CURRENT_USER()`.
    pub(super) account: String,
    /// TLS of this session.
    pub(super) cipher: Option<String>,
    /// Global variables, by name.
    pub(super) variables: BTreeMap<String, String>,
    /// `SHOW GRANTS`, active roles included.
    pub(super) grants: Known<Vec<String>>,
    /// The procedures of `haipmgr sql` that the account may use.
    pub(super) procedures: Known<Vec<String>>,
    /// Whether the procedure that only looks can be called.
    pub(super) changed_rows: Known<()>,
    /// The group as it sees it.
    pub(super) members: Known<Vec<Row>>,
    /// Member actions that are disabled (`replication_group_member_actions`).
    pub(super) disabled_actions: Known<Vec<String>>,
    /// `Threads_connected`.
    pub(super) connected: Option<u64>,
    /// How far its clock is ahead of this host's, in seconds, and how much of that may be the answer's way.
    pub(super) clock_ahead: Option<(f64, f64)>,
    /// Accounts of clients that are connected over TCP without TLS.
    pub(super) without_tls: Known<Vec<String>>,
    /// Accounts that have logged in here since its start.
    pub(super) logged_in: Known<Vec<String>>,
    /// The agent that shows itself; none: no agent does.
    pub(super) agent: Known<Option<AgentShown>>,
}

/// A row of `replication_group_members`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// `MEMBER_ID` is the asked server's.
    pub(super) own: bool,
    pub(super) id: String,
    pub(super) host: String,
    pub(super) state: String,
    pub(super) primary: bool,
    pub(super) version: String,
    /// Transactions in its applier's queue: exact of the asked server alone.
    pub(super) queue: Option<u64>,
}

impl Said {
    /// A variable's value; none where the server has no such variable.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.variable(name)?.parse().ok()
    }

    /// Whether a switch is on; none where the server has no such variable.
    pub(super) fn is_on(&self, name: &str) -> Option<bool> {
        Some(matches!(self.variable(name)?.to_ascii_uppercase().as_str(), "ON" | "1"))
    }

    pub(super) fn own_row(&self) -> Option<&Row> {
        self.members.as_ref().ok()?.iter().find(|row| row.own)
    }

    /// By its own word: ONLINE and PRIMARY, with a majority.
    pub(super) fn leads(&self) -> bool {
        let Ok(members) = &self.members else { return false };
        let unreachable = members.iter().filter(|row| row.state == "UNREACHABLE").count();
        2 * unreachable < members.len()
            && self.own_row().is_some_and(|own| own.primary && own.state == "ONLINE")
    }
}

/// The variables that are looked at. `SHOW VARIABLES` gives those that there are, where naming one that is not there is an error.
const VARIABLES: [&str; 30] = [
    "server_uuid",
    "version",
    "port",
    "bind_address",
    "log_error",
    "max_connections",
    "offline_mode",
    "read_only",
    "super_read_only",
    "skip_networking",
    "lower_case_table_names",
    "group_replication_autorejoin_tries",
    "group_replication_bootstrap_group",
    "group_replication_communication_stack",
    "group_replication_consistency",
    "group_replication_enforce_update_everywhere_checks",
    "group_replication_exit_state_action",
    "group_replication_group_name",
    "group_replication_local_address",
    "group_replication_member_expel_timeout",
    "group_replication_member_weight",
    "group_replication_paxos_single_leader",
    "group_replication_single_primary_mode",
    "group_replication_ssl_mode",
    "group_replication_start_on_boot",
    "group_replication_unreachable_majority_timeout",
    "group_replication_view_change_uuid",
    "group_replication_transaction_size_limit",
    "group_replication_flow_control_mode",
    "replica_checkpoint_period",
];

const STATUS: &str = "SELECT 'connected', VARIABLE_VALUE FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Threads_connected' \
     UNION ALL SELECT 'cipher', VARIABLE_VALUE FROM performance_schema.session_status WHERE VARIABLE_NAME = 'Ssl_cipher'";
const MEMBERS: &str = "SELECT m.MEMBER_ID = @@GLOBAL.server_uuid, m.MEMBER_ID, m.MEMBER_HOST, m.MEMBER_STATE, m.MEMBER_ROLE, m.MEMBER_VERSION, \
     s.COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE FROM performance_schema.replication_group_members m \
     LEFT JOIN performance_schema.replication_group_member_stats s ON s.MEMBER_ID = m.MEMBER_ID WHERE m.MEMBER_ID <> ''";
const DISABLED: &str =
    "SELECT name FROM performance_schema.replication_group_member_actions WHERE enabled = 0";
const WITHOUT_TLS: &str = "SELECT DISTINCT PROCESSLIST_USER FROM performance_schema.threads \
     WHERE TYPE = 'FOREGROUND' AND CONNECTION_TYPE = 'TCP/IP' AND PROCESSLIST_USER IS NOT NULL LIMIT 60";
const LOGGED_IN: &str = "SELECT DISTINCT USER FROM performance_schema.accounts WHERE USER IS NOT NULL AND TOTAL_CONNECTIONS > 0 LIMIT 60";

/// Asks all of them at once.
pub(super) async fn ask_all(members: Vec<(IpAddr, Access)>) -> Vec<Asked> {
    join_all(members.into_iter().map(|(address, access)| async move {
        let mut asker = Asker { server: KeptSession::new(access, LIMIT), over: None };
        let said = asker.read().await;
        asker.server.take_leave().await;
        Asked { address, said }
    }))
    .await
}

struct Asker {
    server: KeptSession,
    /// Why it is asked no more.
    over: Option<Refusal>,
}

impl Asker {
    async fn ask(&mut self, statement: &str) -> Known<Rows> {
        if let Some(over) = &self.over {
            return Err(over.clone());
        }
        self.server.ask(statement).await.map_err(|unanswered| {
            let useless = unanswered.failure.connection != After::Kept;
            let refusal = Refusal { code: unanswered.code, words: unanswered.failure.why().to_string() };
            // An error that the server answers with says that it goes on answering.
            if useless && unanswered.code.is_none() {
                self.over = Some(refusal.clone());
            }
            refusal
        })
    }

    async fn read(&mut self) -> Known<Said> {
        let first = self.ask("SELECT CURRENT_USER(), CURRENT_ROLE()").await?;
        let roles = cell(&first, 1);
        let variables = self.variables().await?;
        let status = self.ask(STATUS).await.unwrap_or_default();
        let of = |name: &str| status.iter().find(|row| text(row, 0) == name).map(|row| text(row, 1));
        Ok(Said {
            account: cell(&first, 0),
            cipher: of("cipher").filter(|cipher| !cipher.is_empty()),
            connected: of("connected").and_then(|text| text.parse().ok()),
            variables,
            grants: self.grants(&roles).await,
            procedures: self.column(USABLE_PROCEDURES).await,
            changed_rows: self.ask(&format!("CALL {CHANGED}()")).await.map(drop),
            members: self.ask(MEMBERS).await.map(|rows| rows.iter().map(|one| row(one)).collect()),
            disabled_actions: self.column(DISABLED).await,
            clock_ahead: self.clock().await,
            without_tls: self.column(WITHOUT_TLS).await,
            logged_in: self.column(LOGGED_IN).await,
            agent: self.ask(QUESTION).await.map(|rows| AgentShown::read(&rows)),
        })
    }

    async fn variables(&mut self) -> Known<BTreeMap<String, String>> {
        let names = VARIABLES.map(|name| format!("'{name}'")).join(", ");
        let rows = self.ask(&format!("SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")).await?;
        Ok(rows.iter().map(|row| (text(row, 0), text(row, 1))).collect())
    }

    /// Roles that are active count: `SHOW GRANTS` alone names them and not what they bring.
    async fn grants(&mut self, roles: &str) -> Known<Vec<String>> {
        if roles.is_empty() || roles == "NONE" {
            self.column("SHOW GRANTS").await
        } else {
            self.column(&format!("SHOW GRANTS FOR CURRENT_USER() USING {roles}")).await
        }
    }

    async fn column(&mut self, statement: &str) -> Known<Vec<String>> {
        Ok(self.ask(statement).await?.iter().map(|row| text(row, 0)).collect())
    }

    async fn clock(&mut self) -> Option<(f64, f64)> {
        let before = since_epoch()?;
        let said = self.ask("SELECT UNIX_TIMESTAMP(NOW(6))").await.ok()?;
        let after = since_epoch()?;
        let server: f64 = cell(&said, 0).parse().ok()?;
        Some((server - f64::midpoint(before, after), (after - before) / 2.0))
    }
}

fn since_epoch() -> Option<f64> {
    SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs_f64())
}

fn cell(rows: &Rows, place: usize) -> String {
    rows.first().map(|row| text(row, place)).unwrap_or_default()
}

fn text(row: &[Option<String>], place: usize) -> String {
    row.get(place).cloned().flatten().unwrap_or_default()
}

fn row(cells: &[Option<String>]) -> Row {
    Row {
        own: text(cells, 0) == "1",
        id: text(cells, 1),
        host: text(cells, 2),
        state: text(cells, 3),
        primary: text(cells, 4) == "PRIMARY",
        version: text(cells, 5),
        queue: text(cells, 6).parse().ok(),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::check) fn refusal(code: Option<u16>, words: &str) -> Refusal {
        Refusal { code, words: words.to_owned() }
    }

    /// The member with this last byte.
    pub(in crate::check) fn asked(last: u8, said: Known<Said>) -> Asked {
        Asked { address: [10, 77, 0, last].into(), said }
    }

    /// A row of a member.
    pub(in crate::check) fn row_of(last: u8, own: bool, primary: bool) -> Row {
        Row {
            own,
            id: format!("uuid-{last}"),
            host: format!("10.77.0.{last}"),
            state: "ONLINE".into(),
            primary,
            version: "9.7.4".into(),
            queue: Some(0),
        }
    }

    /// What the server of member 12 says of a good group of three, which 11 leads.
    pub(in crate::check) fn said() -> Said {
        said_by(12)
    }

    /// The same of another member's server.
    pub(in crate::check) fn said_by(last: u8) -> Said {
        let uuid = format!("uuid-{last}");
        let variables = [
            ("server_uuid", uuid.as_str()),
            ("version", "9.7.4"),
            ("port", "3306"),
            ("bind_address", "*"),
            ("log_error", "/var/log/mysql/error.log"),
            ("max_connections", "151"),
            ("offline_mode", "OFF"),
            ("read_only", if last == 11 { "OFF" } else { "ON" }),
            ("super_read_only", if last == 11 { "OFF" } else { "ON" }),
            ("skip_networking", "OFF"),
            ("group_replication_autorejoin_tries", "3"),
            ("group_replication_bootstrap_group", "OFF"),
            ("group_replication_communication_stack", "XCOM"),
            ("group_replication_consistency", "BEFORE_ON_PRIMARY_FAILOVER"),
            ("group_replication_exit_state_action", "OFFLINE_MODE"),
            ("group_replication_group_name", "5ea1ab1e-0000-4000-8000-000000000001"),
            ("group_replication_local_address", "10.77.0.12:33061"),
            ("group_replication_member_expel_timeout", "5"),
            ("group_replication_paxos_single_leader", "OFF"),
            ("group_replication_single_primary_mode", "ON"),
            ("group_replication_ssl_mode", "REQUIRED"),
            ("group_replication_start_on_boot", "ON"),
            ("group_replication_unreachable_majority_timeout", "0"),
            ("replica_checkpoint_period", "10"),
        ];
        let procedures = [
            "wake_expel",
            "expel_unreachable_now",
            "restore_expel_timeout",
            "make_primary",
            "changed_rows",
            "shorten_checkpoint_period",
            "restore_checkpoint_period",
        ];
        let mut grants = vec![
            "GRANT USAGE ON *.* TO `haip`@`%`".to_owned(),
            "GRANT XA_RECOVER_ADMIN ON *.* TO `haip`@`%`".to_owned(),
            "GRANT SELECT ON `performance_schema`.* TO `haip`@`%`".to_owned(),
        ];
        grants.extend(
            procedures.map(|name| format!("GRANT EXECUTE ON PROCEDURE `haipmgr`.`{name}` TO `haip`@`%`")),
        );
        Said {
            account: "haip@%".into(),
            cipher: Some("TLS_AES_128_GCM_SHA256".into()),
            variables: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            grants: Ok(grants),
            procedures: Ok(procedures.map(str::to_owned).to_vec()),
            changed_rows: Ok(()),
            members: Ok([11, 12, 13].map(|member| row_of(member, member == last, member == 11)).to_vec()),
            disabled_actions: Ok(vec![]),
            connected: Some(20),
            clock_ahead: Some((0.01, 0.02)),
            without_tls: Ok(vec![]),
            logged_in: Ok(vec!["haip".into(), "app".into()]),
            agent: Ok(None),
        }
    }

    /// A good group of three.
    pub(in crate::check) fn all_asked() -> Vec<Asked> {
        [11, 12, 13].map(|last| asked(last, Ok(said_by(last)))).to_vec()
    }

    /// Changes a variable of one member.
    pub(in crate::check) fn set(all: &mut [Asked], place: usize, name: &str, value: &str) {
        if let Ok(said) = &mut all[place].said {
            said.variables.insert(name.to_owned(), value.to_owned());
        }
    }

    #[test]
    fn a_member_leads_by_its_own_word_and_only_with_a_majority() {
        assert!(said_by(11).leads());
        assert!(!said_by(12).leads());
        let mut cut_off = said_by(11);
        if let Ok(members) = &mut cut_off.members {
            members[1].state = "UNREACHABLE".into();
            members[2].state = "UNREACHABLE".into();
        }
        assert!(!cut_off.leads());
    }

    #[test]
    fn a_row_is_read_and_what_is_null_is_not_known() {
        let cells = ["1", "u", "db1", "ONLINE", "PRIMARY", "9.7.4"].map(|cell| Some(cell.to_owned()));
        let mut cells = cells.to_vec();
        cells.push(None);
        let read = row(&cells);
        assert!(read.own && read.primary && read.queue.is_none());
    }
}
