//! The SQL that makes the agent's account, and the procedures through which it may have a dead member expelled sooner.

/// Stands where the administrator is to write the password.
pub(crate) const PASSWORD_PLACE: &str = "put the password here";

/// All of it, each part with a comment that says what it is for; ends with a line's end. What `haipmgr sql` prints and `haipmgr init`
/// writes.
pub(crate) fn whole_sql(user: &str) -> String {
    format!(
        "{}\
         -- So that a dead member is expelled on time (wake_expel, proven_dead): three procedures, which run with the\n\
         -- rights of an account that nobody can log in as. They need MySQL 8.0.18 or later; everything else works without them.\n\
         -- A procedure that is made anew is nobody's until it is granted: if agents use another account as well, run its SQL again too.\n{}\
         -- For haipmgr switchover and haipmgr drain: two more, a privilege, and a table of one row. MySQL 8.0.13 or later.\n\
         -- Only if you want it, afterwards: for switchover --write-as APP, GRANT INSERT, DELETE ON haipmgr.written_through_vip TO 'APP'@'%',\n\
         -- and so that switchover can end a session that holds it up, GRANT CONNECTION_ADMIN ON *.* TO this account\n{}\
         -- For haipmgr pause of the whole cluster: a table of one row, and the two procedures that write it\n{}\
         -- So that the first write after a haipmgr switchover never waits 0.3 s for replica_checkpoint_period: two more. MySQL 8.0.26 or later\n{}",
        account_sql(user),
        election_sql(user),
        switchover_sql(user),
        pause_sql(user),
        checkpoint_sql(user),
    )
}

/// The SQL that makes the account the agent needs, to be run once, on the primary; the group carries it to the others.
/// The password is left for the administrator to fill in.
///
/// Reading `performance_schema` is all it may do, beside what [`election_sql`] adds. It must be usable from every member's address, because in a dispute
/// over the VIP an agent asks another member's server.
///
/// ```
/// let sql = haipmgr::server_access::account::account_sql("haip");
/// assert!(sql.contains("GRANT SELECT ON performance_schema.* TO 'haip'@'%';"));
/// ```
pub fn account_sql(user: &str) -> String {
    let user = quoted(user);
    format!(
        "CREATE USER '{user}'@'%' IDENTIFIED BY '{PASSWORD_PLACE}';\n\
         GRANT SELECT ON performance_schema.* TO '{user}'@'%';\n"
    )
}

/// The procedures' schema.
const SCHEMA: &str = "haipmgr";

/// Wakes the server's thread that expels, by setting its timeout to the value that it has.
pub(crate) const WAKE: &str = "haipmgr.wake_expel";
/// Sets the timeout to 0.
pub(crate) const EXPEL: &str = "haipmgr.expel_unreachable_now";
/// Puts it back.
pub(crate) const RESTORE: &str = "haipmgr.restore_expel_timeout";

/// Which of the three procedures the account that asks may use: a row each. No effect.
pub(crate) const USABLE_PROCEDURES: &str =
    "SELECT ROUTINE_NAME FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'haipmgr'";

/// Makes another member the primary.
pub(crate) const MAKE_PRIMARY: &str = "haipmgr.make_primary";
/// How many rows each open transaction has changed.
pub(crate) const CHANGED: &str = "haipmgr.changed_rows";

/// The SQL that lets the account have an UNREACHABLE member expelled sooner, to be run once, on the primary, after
/// [`account_sql`]: a schema with three procedures of one statement each, which run with the rights of an account that nobody
/// can log in as. MySQL 8.0.18 or later. To be run again after an upgrade of haipmgr; that does no harm.
///
/// The account gets EXECUTE on these three and nothing else. With them it can set
/// `group_replication_member_expel_timeout` to 0 while a member is UNREACHABLE and this one is ONLINE in the majority of
/// a group with one primary, and from 0 to any other value. What does not fit leaves the value as it is. It is never
/// NULL: set to NULL, the variable becomes 0 (MySQL 9.7.4). It is cast, because 0 and an unsigned value together are a
/// decimal, which the variable does not take (error 1232).
///
/// ```
/// let sql = haipmgr::server_access::account::election_sql("haip");
/// assert!(sql.contains("GRANT EXECUTE ON PROCEDURE haipmgr.wake_expel TO 'haip'@'%';"));
/// ```
pub fn election_sql(user: &str) -> String {
    let user = quoted(user);
    format!(
        "CREATE USER IF NOT EXISTS 'haipmgr_definer'@'localhost' IDENTIFIED BY RANDOM PASSWORD ACCOUNT LOCK;\n\
         GRANT SYSTEM_VARIABLES_ADMIN ON *.* TO 'haipmgr_definer'@'localhost';\n\
         GRANT SELECT ON performance_schema.* TO 'haipmgr_definer'@'localhost';\n\
         CREATE SCHEMA IF NOT EXISTS {SCHEMA};\n\
         GRANT EXECUTE ON {SCHEMA}.* TO 'haipmgr_definer'@'localhost';\n\
         DROP PROCEDURE IF EXISTS {WAKE};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {WAKE}()\n  \
           SQL SECURITY DEFINER\n  \
           SET GLOBAL group_replication_member_expel_timeout = @@GLOBAL.group_replication_member_expel_timeout;\n\
         DROP PROCEDURE IF EXISTS {EXPEL};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {EXPEL}()\n  \
           SQL SECURITY DEFINER\n  \
           SET GLOBAL group_replication_member_expel_timeout = (\n    \
             SELECT CAST(IF(@@GLOBAL.group_replication_single_primary_mode\n      \
               AND COALESCE(SUM(MEMBER_STATE = 'UNREACHABLE'), 0) > 0\n      \
               AND 2 * SUM(MEMBER_STATE = 'UNREACHABLE') < COUNT(*)\n      \
               AND SUM(MEMBER_ID = @@GLOBAL.server_uuid AND MEMBER_STATE = 'ONLINE') = 1,\n      \
               0, @@GLOBAL.group_replication_member_expel_timeout) AS UNSIGNED)\n    \
             FROM performance_schema.replication_group_members);\n\
         DROP PROCEDURE IF EXISTS {RESTORE};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {RESTORE}(IN configured INT UNSIGNED)\n  \
           SQL SECURITY DEFINER\n  \
           SET GLOBAL group_replication_member_expel_timeout =\n    \
             IF(@@GLOBAL.group_replication_member_expel_timeout = 0 AND configured BETWEEN 1 AND 3600,\n      \
               configured, @@GLOBAL.group_replication_member_expel_timeout);\n\
         GRANT EXECUTE ON PROCEDURE {WAKE} TO '{user}'@'%';\n\
         GRANT EXECUTE ON PROCEDURE {EXPEL} TO '{user}'@'%';\n\
         GRANT EXECUTE ON PROCEDURE {RESTORE} TO '{user}'@'%';\n"
    )
}

/// The SQL for `haipmgr switchover` and `haipmgr drain`, to be run once, on the primary, after [`election_sql`], whose definer it
/// uses: two more procedures of one statement each, and a privilege.
///
/// With them the account can make another member the primary, and see how many rows open transactions have changed, and prepared XA
/// transactions. All else that is looked at, `performance_schema` shows. The UUID goes through `CONCAT`, because
/// a `CHAR` parameter of a procedure reaches `group_replication_set_as_primary` padded with spaces (MySQL 9.7.4, error 1123:
/// `findings/a-char-parameter-reaches-set-as-primary-padded.sh`). XA RECOVER is no procedure, because the session would be out of
/// step afterwards (`findings/five-statements-leave-a-call-out-of-step.sh`).
///
/// ```
/// let sql = haipmgr::server_access::account::switchover_sql("haip");
/// assert!(sql.contains("GRANT EXECUTE ON PROCEDURE haipmgr.make_primary TO 'haip'@'%';"));
/// ```
pub fn switchover_sql(user: &str) -> String {
    let user = quoted(user);
    format!(
        "GRANT GROUP_REPLICATION_ADMIN, PROCESS ON *.* TO 'haipmgr_definer'@'localhost';\n\
         DROP PROCEDURE IF EXISTS {MAKE_PRIMARY};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {MAKE_PRIMARY}(IN member CHAR(36))\n  \
           SQL SECURITY DEFINER\n  \
           SELECT group_replication_set_as_primary(CONCAT(member));\n\
         DROP PROCEDURE IF EXISTS {CHANGED};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {CHANGED}()\n  \
           SQL SECURITY DEFINER\n  \
           SELECT trx_mysql_thread_id, trx_rows_modified FROM information_schema.INNODB_TRX\n  \
           WHERE trx_rows_modified > 0 ORDER BY trx_started LIMIT 60;\n\
         GRANT EXECUTE ON PROCEDURE {MAKE_PRIMARY} TO '{user}'@'%';\n\
         GRANT XA_RECOVER_ADMIN ON *.* TO '{user}'@'%';\n\
         GRANT EXECUTE ON PROCEDURE {CHANGED} TO '{user}'@'%';\n\
         CREATE TABLE IF NOT EXISTS {WRITTEN} (id INT PRIMARY KEY, written_at TIMESTAMP(6) NOT NULL);\n"
    )
}

/// What a new primary's applier waits at the most before it looks again, while a switchover is under way, in ms. With 20 or less no
/// switchover of 120 waited for it, with 50 half of them did (MySQL 9.7.4, a client that writes without a pause).
pub(crate) const SHORT_PERIOD_MS: u32 = 10;
/// Sets `replica_checkpoint_period` to that.
pub(crate) const SHORTEN_PERIOD: &str = "haipmgr.shorten_checkpoint_period";
/// Puts it back.
pub(crate) const RESTORE_PERIOD: &str = "haipmgr.restore_checkpoint_period";

/// The SQL for a quicker `haipmgr switchover`, to be run once, on the primary, after [`election_sql`], whose definer it uses: two
/// procedures of one statement each, for the target of a switchover. MySQL 8.0.26 or later, which gave the variable its name.
///
/// With them the account can set `replica_checkpoint_period` to 10 ms where it is longer, and from that value to any other.
///
/// ```
/// let sql = haipmgr::server_access::account::checkpoint_sql("haip");
/// assert!(sql.contains("GRANT EXECUTE ON PROCEDURE haipmgr.shorten_checkpoint_period TO 'haip'@'%';"));
/// ```
pub fn checkpoint_sql(user: &str) -> String {
    let user = quoted(user);
    format!(
        "DROP PROCEDURE IF EXISTS {SHORTEN_PERIOD};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {SHORTEN_PERIOD}()\n  \
           SQL SECURITY DEFINER\n  \
           SET GLOBAL replica_checkpoint_period =\n    \
             CAST(LEAST(@@GLOBAL.replica_checkpoint_period, {SHORT_PERIOD_MS}) AS UNSIGNED);\n\
         DROP PROCEDURE IF EXISTS {RESTORE_PERIOD};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {RESTORE_PERIOD}(IN configured INT UNSIGNED)\n  \
           SQL SECURITY DEFINER\n  \
           SET GLOBAL replica_checkpoint_period = CAST(\n    \
             IF(@@GLOBAL.replica_checkpoint_period = {SHORT_PERIOD_MS} AND configured > 0,\n      \
               configured, @@GLOBAL.replica_checkpoint_period) AS UNSIGNED);\n\
         GRANT EXECUTE ON PROCEDURE {SHORTEN_PERIOD} TO '{user}'@'%';\n\
         GRANT EXECUTE ON PROCEDURE {RESTORE_PERIOD} TO '{user}'@'%';\n"
    )
}

/// Pauses the whole cluster.
pub(crate) const PAUSE: &str = "haipmgr.pause";
/// Ends that before its time.
pub(crate) const RESUME: &str = "haipmgr.resume";
/// The cluster's pause: one row, or none. It gives up waiting for a lock on the table.
pub(crate) const PAUSED_UNTIL: &str = "SELECT /*+ MAX_EXECUTION_TIME(1000) */ \
     CAST(UNIX_TIMESTAMP(ends_at) * 1000 AS UNSIGNED), told_by, reason FROM haipmgr.pauses WHERE id = 1";
const PAUSES: &str = "haipmgr.pauses";

/// The SQL for `haipmgr pause` and `haipmgr resume` of a whole cluster, to be run once, on the primary, after [`election_sql`], whose
/// definer it uses: a table of one row, which the group copies to every member and every agent reads from its own server, and two
/// procedures of one statement each that write it. A pause is no longer than a day, whoever calls them.
///
/// ```
/// let sql = haipmgr::server_access::account::pause_sql("haip");
/// assert!(sql.contains("GRANT SELECT ON haipmgr.pauses TO 'haip'@'%';"));
/// ```
pub fn pause_sql(user: &str) -> String {
    let user = quoted(user);
    format!(
        "CREATE TABLE IF NOT EXISTS {PAUSES} (id INT PRIMARY KEY, ends_at TIMESTAMP(3) NOT NULL,\n  \
           told_by VARCHAR(100) NOT NULL, reason VARCHAR(200) NOT NULL);\n\
         GRANT INSERT, DELETE ON {PAUSES} TO 'haipmgr_definer'@'localhost';\n\
         DROP PROCEDURE IF EXISTS {PAUSE};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {PAUSE}\n  \
           (IN seconds INT UNSIGNED, IN told_by VARCHAR(100) CHARSET utf8mb4, IN reason VARCHAR(200) CHARSET utf8mb4)\n  \
           SQL SECURITY DEFINER\n  \
           REPLACE INTO {PAUSES} VALUES (1, NOW(3) + INTERVAL LEAST(seconds, 86400) SECOND, told_by, reason);\n\
         DROP PROCEDURE IF EXISTS {RESUME};\n\
         CREATE DEFINER = 'haipmgr_definer'@'localhost' PROCEDURE {RESUME}()\n  \
           SQL SECURITY DEFINER\n  \
           DELETE FROM {PAUSES} LIMIT 1;\n\
         GRANT SELECT ON {PAUSES} TO '{user}'@'%';\n\
         GRANT EXECUTE ON PROCEDURE {PAUSE} TO '{user}'@'%';\n\
         GRANT EXECUTE ON PROCEDURE {RESUME} TO '{user}'@'%';\n"
    )
}

/// What `haipmgr switchover --write-as` writes through the VIP: one row, over and over.
pub(crate) const WRITE: &str = "REPLACE INTO haipmgr.written_through_vip VALUES (1, NOW(6))";
const WRITTEN: &str = "haipmgr.written_through_vip";

fn quoted(user: &str) -> String {
    user.replace('\\', "\\\\").replace('\'', "''")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_in_the_user_name_does_not_end_the_statement() {
        assert!(account_sql("o'neil").starts_with("CREATE USER 'o''neil'@'%'"));
        assert!(election_sql("o'neil").ends_with("TO 'o''neil'@'%';\n"));
        assert!(pause_sql("o'neil").ends_with("resume TO 'o''neil'@'%';\n"));
        assert!(switchover_sql("o'neil").contains("make_primary TO 'o''neil'@'%';\n"));
    }
}
