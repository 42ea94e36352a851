//! The keys beside the `[[cluster]]` tables.

use super::SWITCH;

/// A key beside the `[[cluster]]` tables: its name, its default in words, what it means.
pub(in crate::config) struct TopKey {
    pub(in crate::config) name: &'static str,
    pub(in crate::config) takes: &'static str,
    pub(in crate::config) default: &'static str,
    pub(in crate::config) about: &'static str,
}

/// Every key beside the clusters.
pub(in crate::config) const TOP: &[TopKey] = &[
    TopKey {
        name: "lock",
        takes: "a path",
        default: "`\"/run/haipmgr/haipmgr.lock\"`",
        about: "The lock file that keeps a second agent from starting on this host. Above the first `[[cluster]]`.",
    },
    TopKey {
        name: "drain_on_shutdown",
        takes: SWITCH,
        default: "`true`",
        about: "When logind says that the host is about to go down (`systemctl reboot`, `poweroff`), the agent does what `haipmgr drain` \
                does, and logind waits for it: up to 4.5 s with its `InhibitDelayMaxSec=5`. Where there is no D-Bus or logind, or it \
                refuses, a line says so and nothing else changes. Above the first `[[cluster]]`.",
    },
    TopKey {
        name: "listen",
        takes: "an address and port, or a path",
        default: "HTTP is not answered",
        about: "Where the agent answers over HTTP: metrics, health checks, status, history and a page to look at (docs/http.md), all of them only \
                to read. `\"127.0.0.1:9640\"`, `\"[::1]:9640\"`, or a Unix socket's whole path, which the agent's user and group may use. \
                Above the first `[[cluster]]`.",
    },
    TopKey {
        name: "listen_beyond_this_host",
        takes: SWITCH,
        default: "`false`",
        about: "`listen` may be an address that other hosts reach. Needs `listen_tls_cert` and `listen_tls_key`, or `listen_token_file`.",
    },
    TopKey {
        name: "listen_token_file",
        takes: "a path",
        default: "nobody is asked for one",
        about: "A file whose only line is a token of at least 16 characters, mode 600 as a password's: who asks sends it as \
                `Authorization: Bearer TOKEN`, or as a browser's password with any user. `/liveness` needs none.",
    },
    TopKey {
        name: "listen_tls_cert",
        takes: "a path",
        default: "plain HTTP",
        about: "A certificate in PEM form, and those between it and its authority: HTTPS and nothing else is answered then. Read again at a reload.",
    },
    TopKey {
        name: "listen_tls_key",
        takes: "a path",
        default: "plain HTTP",
        about: "The private key of `listen_tls_cert`, in PEM form; the agent's user must be able to read it.",
    },
];
