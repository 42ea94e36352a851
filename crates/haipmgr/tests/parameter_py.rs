//! The Python program's file: read unchanged (S2), refused where it is wrong (S3), converted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod written;

use std::path::PathBuf;
use std::time::Duration;

use decide::net::VipId;
use decide::policy::VipPolicy;
use haipmgr::config::{Source, convert, load};
use written::*;

#[test]
fn s2_parameter_py_as_users_have_it_is_accepted() {
    let (written, config) = loaded("parameter.py", PARAMETER_PY);
    assert_eq!(config.source, Source::ParameterPy);
    let cluster = only(&config);
    assert_eq!(cluster.policy.vips[&VipId::FIRST].address, address("192.168.250.39"));
    assert_eq!(cluster.gateway, address("192.168.250.254"));
    assert_eq!((cluster.mysql_port, cluster.group_port), (4790, Some(14790)));
    assert_eq!((cluster.user.as_str(), cluster.password.reveal()), ("haip_user", "KRj$r748Lf"));
    assert_eq!(cluster.policy.group.members.values().collect::<Vec<_>>(), ["bond0", "bond0", "bond0"]);
    assert_eq!(cluster.policy.group.sleeptime, Duration::from_secs(7));
    assert_eq!(
        cluster.policy.vips[&VipId::FIRST].lease,
        None,
        "the legacy program's address has no lifetime"
    );
    assert_eq!(cluster.policy.vips[&VipId::FIRST].linger, Duration::ZERO);
    assert_eq!(cluster.log_file(), written.folder.path().join("HAIPMGR_4790.log"));
    assert_eq!(cluster.stat_file(), written.folder.path().join("stat_4790"));
}

#[test]
fn s2_parameter_py_in_other_hands_is_accepted() {
    let other = "# -*- coding: utf-8 -*-\r\n# 参数\r\npar_var = {\r\n  'vip' : '192.168.250.39', # the VIP\r\n\
        'cluser_ip' : { '192.168.250.33' : 'bond0', },\r\n 'ip_gateway':'192.168.250.254', 'mysql_port' : 4790,\r\n\
        \"inter_port\":14790, 'passwd' : 'a\"b\\\\c\\'d', 'user' : \"\"\"haip\"\"\" '_user', 'platfrom':'linux',\r\n\
        'sleeptime':'7','install_path':'FOLDER' '/',\r\n}\r\n\r\n# end";
    let (_written, config) = loaded("parameter.py", other);
    assert_eq!(only(&config).password.reveal(), "a\"b\\c'd");
    assert_eq!(only(&config).user, "haip_user");
    assert_eq!(only(&config).mysql_port, 4790);
}

#[test]
fn s2_comments_in_another_encoding_are_no_obstacle() {
    let written = written("parameter.py", PARAMETER_PY);
    let mut bytes = b"# -*- coding: gbk -*-\n# \xb2\xce\xca\xfd\n".to_vec();
    bytes.extend(std::fs::read(&written.file).unwrap());
    std::fs::write(&written.file, bytes).unwrap();
    load(&written.file).unwrap_or_else(|problems| panic!("{problems}"));
}

#[test]
fn s2_a_parameter_py_that_others_can_read_runs_with_an_error_in_the_log() {
    let written = written("parameter.py", PARAMETER_PY);
    mode(&written.file, 0o644);
    let config = load(&written.file).unwrap();
    assert!(
        config.remarks.join("").contains(&format!("chmod 600 {}", written.file.display())),
        "{:?}",
        config.remarks
    );
}

#[test]
fn s3_missing_extra_and_wrong_parameters_are_told_with_key_and_line() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("\"sleeptime\":7,", "", &["1:11:", "\"sleeptime\" is missing"]),
        ("\"passwd\":\"KRj$r748Lf\",", "", &["1:11:", "\"passwd\" is missing"]),
        (
            "\"sleeptime\":7,",
            "\"sleeptime\":7,\"sleeptime2\":7,",
            &["3:45:", "unknown key \"sleeptime2\"", "did you mean \"sleeptime\"?", "takes no other keys"],
        ),
        ("\"sleeptime\":7,", "\"sleeptime\":7,\"sleeptime\":8,", &["3:45:", "twice"]),
        ("\"linux\"", "\"windows\"", &["3:23:", "platfrom", "\"linux\""]),
        ("\"4790\"", "\"mysql\"", &["2:57:", "mysql_port", "whole number"]),
        ("\"4790\"", "\"70000\"", &["2:57:", "mysql_port", "out of range"]),
        ("\"192.168.250.254\"", "\"router\"", &["2:26:", "ip_gateway", "not an IP address"]),
        (
            "{\"192.168.250.33\":\"bond0\"",
            "{\"192.168.250.333\":\"bond0\"",
            &["1:48:", "cluser_ip", "not an IP address"],
        ),
        ("\"192.168.250.39\"", "\"192.168.250.33\"", &["the VIP and a member's own address"]),
        ("FOLDER/", "FOLDER", &["3:", "install_path", "must end in \"/\""]),
        ("FOLDER/", "/none/x/", &["3:", "mkdir -p /none/x/"]),
        ("7", "time()", &["3:", "\"time\" is not a value"]),
        ("par_var", "par_vars", &["1:1:", "par_var"]),
    ];
    let mut wrong = Vec::new();
    for (what, by, words) in cases {
        let at = PARAMETER_PY.find(what).unwrap_or_else(|| panic!("{what}"));
        let at = if *what == "7" { PARAMETER_PY.find(":7").unwrap() + 1 } else { at };
        let mut text = PARAMETER_PY.to_owned();
        text.replace_range(at..at + what.len(), by);
        let problems = refused("parameter.py", &text);
        let found = problems.iter().any(|problem| words.iter().all(|word| problem.contains(word)));
        if !found || problems.len() != 1 {
            wrong.push(format!("{what} -> {by}: not only {words:?} but {problems:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_convert_prints_means_the_same_but_for_what_it_says_differs() {
    let parameter_py = PARAMETER_PY.replace("KRj$r748Lf", "K$R\\\\j\\\"r'7\\t#\u{e9}");
    let (python, before) = loaded("parameter.py", &parameter_py);
    let printed = convert(&python.file).unwrap();
    let (_toml, after) = loaded("haipmgr.toml", &printed);
    assert_eq!(only(&before).password.reveal(), "K$R\\j\"r'7\t#\u{e9}");
    let mut expected = only(&before).clone();
    let vip = expected.policy.vips.get_mut(&VipId::FIRST).unwrap();
    let defaults = VipPolicy::new(vip.address);
    (vip.lease, vip.linger) = (defaults.lease, defaults.linger);
    assert_eq!(only(&after), &expected);
    assert_ne!(after.lock, before.lock);

    // And as it says, the three lines bring the old behaviour back.
    for line in ["lease = \"off\"", "linger = \"0s\""] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    let old = printed.replace(
        "[[cluster]]\n#",
        &format!("lock = \"{}\"\n[[cluster]]\nlease = \"off\"\nlinger = \"0s\"\n#", before.lock.display()),
    );
    let (_old, old) = loaded("haipmgr.toml", &old);
    assert_eq!(only(&old), only(&before));
    assert_eq!(old.lock, before.lock);
}

#[test]
fn s4_the_lock_of_a_parameter_py_is_the_python_program_s() {
    let (_written, config) = loaded("parameter.py", PARAMETER_PY);
    let host = nix::unistd::gethostname().unwrap();
    assert_eq!(config.lock, PathBuf::from(format!("/root/HAIPMGR{}.lock", host.to_string_lossy())));
}
