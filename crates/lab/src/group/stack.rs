//! The group's communication stack (`group_replication_communication_stack`), and what its members are told because of it.

use std::sync::OnceLock;

use super::Identity;

/// How the members' group communication travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Stack {
    /// By Group Replication's own protocol, on a port of its own: the server's default
    Xcom,
    /// By MySQL's protocol, on MySQL's port: the default of clusters that MySQL Shell makes
    Mysql,
}

static STACK: OnceLock<Stack> = OnceLock::new();

/// The stack of every group of this process: XCOM, unless [`Stack::choose`] said otherwise.
pub fn stack() -> Stack {
    *STACK.get_or_init(|| Stack::Xcom)
}

impl Stack {
    /// Every group has this stack from now on. To be called before anything else of this module; later it changes nothing.
    pub fn choose(self) {
        let _ = STACK.set(self);
    }

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Xcom => "xcom",
            Self::Mysql => "mysql",
        }
    }
}

impl Identity {
    /// The port on which the members of this group hear each other.
    pub fn group_port(self) -> u16 {
        match stack() {
            Stack::Xcom => self.xcom_port,
            Stack::Mysql => self.mysql_port,
        }
    }

    /// What the option file of the server called `name` says because of the stack.
    ///
    /// MySQL 9.7 manual, 20.6.1 "Communication Stack for Connection Security Management": the local address is one that MySQL
    /// listens on; the settings of distributed recovery (20.6.3.2) are those of all group communication; the recovery account
    /// has `GROUP_REPLICATION_STREAM`. `require_secure_transport` is the test `tls_reloaded`'s affair.
    ///
    /// `mixed`: servers of two versions are to hear each other. By default 9.7.4 has TLS between members (seen:
    /// `group_replication_ssl_mode` is REQUIRED) and 8.4.13 has not, so that neither hears the other: one mode for both.
    pub(super) fn stack_options(name: &str, mixed: bool) -> String {
        match stack() {
            Stack::Xcom if mixed => "loose-group_replication_ssl_mode = DISABLED\n".to_owned(),
            Stack::Xcom => String::new(),
            Stack::Mysql => format!(
                "loose-group_replication_communication_stack = MYSQL
loose-group_replication_ssl_mode = VERIFY_CA
loose-group_replication_recovery_use_ssl = ON
loose-group_replication_recovery_ssl_ca = /data/{name}/ca.pem
"
            ),
        }
    }
}
