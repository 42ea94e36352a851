//! Cases that people reported of virtual IPs for databases, each with what happens here and the tests that show it.

/// One case.
pub(super) struct Case {
    /// What somebody met, and where that was reported.
    pub(super) met: &'static str,
    /// What happens here.
    pub(super) now: &'static str,
    /// End-to-end tests, by name.
    pub(super) tests: &'static [&'static str],
    /// Tests of `cargo test` that show the rest of the kind: file and name.
    pub(super) kind: &'static [[&'static str; 2]],
}

const fn case(
    met: &'static str,
    now: &'static str,
    tests: &'static [&'static str],
    kind: &'static [[&'static str; 2]],
) -> Case {
    Case { met, now, tests, kind }
}

/// In the order of the page.
pub(super) const CASES: &[Case] = &[
    case(
        "a server throws ordinary accounts out right after login (MySQL's manual on error 1184)",
        "the VIP stays: any word of a server is the word of a living one. One ERROR until the kind of error changes; the log is bounded whatever the server says",
        &["login_thrown_out_by_init_connect"],
        &[["haipmgr/src/agent/log_dedup.rs", "a_server_that_finds_new_words_each_time_fills_no_log"]],
    ),
    case(
        "the VIP is left, or put on purpose, on a member's loopback (kube-vip #1563; guides to direct routing)",
        "the copy is removed at once, on every interface, also one that was there before the agent; ERROR",
        &["vip_on_a_members_loopback"],
        &[],
    ),
    case(
        "the interface's hardware address changes (keepalived #1112, #1118)",
        "the VIP is announced within 0.2 s, and the line says why; the same where a carrier is back, or a bond or bridge has another port",
        &["holders_hardware_address_changed"],
        &[[
            "haipmgr/tests/link_and_address.rs",
            "a_carrier_that_is_back_and_another_port_of_a_bridge_are_another_way",
        ]],
    ),
    case(
        "ARP answers are kept in by a setting or a rule (guides to direct routing)",
        "the VIP is not taken while it is up elsewhere: it is asked for by ICMP echo too. `check`, the start and the stop name the setting, the claimant's ERROR names the host",
        &[
            "arp_kept_in_by_the_holder",
            "arp_ignored_by_a_holder_without_an_agent",
            "arp_dropped_by_a_holder_without_an_agent",
        ],
        &[[
            "haipmgr/tests/vip_echo.rs",
            "a_host_that_answers_no_arp_question_is_found_by_echo_and_who_has_it_not_is_silent",
        ]],
    ),
    case(
        "a standby group is kept read-only on purpose (a disabled member action; a ClusterSet's replica cluster)",
        "as `read_only_primary` says: the VIP is not started on a read-only primary, with an ERROR after a while, and one that is made read-only keeps it or lets it go; or it follows the primary",
        &["new_primary_stays_read_only", "primary_made_read_only", "standby_group_vip_follows_the_primary"],
        &[],
    ),
    case(
        "mysqld does not listen at the VIP (autobase #219)",
        "`check` names it on every member; an ERROR where the VIP is held",
        &["mysqld_does_not_listen_at_the_vip"],
        &[],
    ),
    case(
        "the interface in the file is not there (keepalived #2574)",
        "`check` ends with 1, and names it with the interfaces that are there",
        &["check_names_what_does_not_fit_the_host"],
        &[],
    ),
    case(
        "`/run/haipmgr` is cleared while the agent runs (keepalived #2402)",
        "`haipmgr stop` finds the agent by its lock, and says what happened; the agent makes its socket anew",
        &["run_folder_cleared_then_stopped"],
        &[],
    ),
    case(
        "an address that no host may have: a network's own or its broadcast address, a gateway elsewhere, loopback as the interface (keepalived #2522)",
        "`check` ends with 1, and names each",
        &["check_names_what_does_not_fit_the_host"],
        &[],
    ),
    case(
        "the whole group goes multi-primary, and back",
        "nobody holds the VIP until there is one primary again; the line says why",
        &["group_goes_multi_primary_and_back"],
        &[],
    ),
    case(
        "`REQUIRE X509` for the agent's account",
        "the VIP stays; the log names `tls_cert` and `tls_key`",
        &["account_needs_a_certificate"],
        &[],
    ),
    case(
        "the log or the state file is removed while the agent runs",
        "both are made anew: the log with its next line, the state file within `sleeptime`",
        &["log_and_state_file_removed"],
        &[],
    ),
];
