//! The program as a person at a terminal meets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod copied_program;

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TOML: &str = r#"lock = "FOLDER/haipmgr.lock"
[[cluster]]
name          = "orders"
vip           = "10.77.0.100/32"
gateway       = "10.77.0.254"
mysql_port    = 3306
group_port    = 33061
user          = "haip'o"
password      = "KRj$r748Lf"
install_path  = "FOLDER/"
[cluster.members]
"10.77.0.11" = "eth0"
"#;

struct Host {
    folder: tempfile::TempDir,
}

impl Host {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        std::fs::write(&file, text.replace("FOLDER", self.folder.path().to_str().unwrap())).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    /// What the program says; its own run folder is in this host's.
    fn haipmgr(&self, words: &[&str], file: &Path) -> Output {
        Command::new(env!("CARGO_BIN_EXE_haipmgr"))
            .args(words)
            .arg(file)
            .env("RUNTIME_DIRECTORY", self.path("run"))
            .env_remove("JOURNAL_STREAM")
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_wrong_configuration_ends_with_status_2_and_starts_nothing() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", &TOML.replace("gateway ", "gatway ").replace("= 3306\n", "= 0\n"));
    for command in ["run", "check", "sql"] {
        let output = host.haipmgr(&[command, "--config"], &file);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains(&format!(
                "{}:5:1: unknown key \"gatway\": did you mean \"gateway\"?",
                file.display()
            )),
            "{said}"
        );
        assert!(said.contains(&format!("{}:6:17: mysql_port", file.display())), "{said}");
        assert!(said.contains("nothing was started, nothing was stopped"), "{said}");
        assert!(output.stdout.is_empty());
    }
    let left: Vec<_> =
        std::fs::read_dir(host.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["haipmgr.toml"]);
}

#[test]
fn a_file_that_is_not_there_and_a_wrong_command_line_end_with_status_2() {
    let host = Host::new();
    assert_eq!(host.haipmgr(&["run", "--config"], Path::new("/none/x.toml")).status.code(), Some(2));
    assert_eq!(host.haipmgr(&["run", "--konfig"], Path::new("/none/x.toml")).status.code(), Some(2));
}

#[test]
fn s3_a_wrong_parameter_py_does_not_start() {
    let host = Host::new();
    let file = host.write("parameter.py", "par_var = {'vip': '10.77.0.100'}\n");
    let output = host.haipmgr(&["run", "--config"], &file);
    assert_eq!(output.status.code(), Some(2));
    for key in [
        "cluser_ip",
        "ip_gateway",
        "mysql_port",
        "inter_port",
        "passwd",
        "user",
        "platfrom",
        "sleeptime",
        "install_path",
    ] {
        assert!(
            text(&output.stderr).contains(&format!("the key \"{key}\" is missing")),
            "{}",
            text(&output.stderr)
        );
    }
}

#[test]
fn s4_a_second_start_is_refused() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", TOML);
    let mut first = File::create(host.path("haipmgr.lock")).unwrap();
    first.lock().unwrap();
    write!(first, "{}", std::process::id()).unwrap();
    let output = host.haipmgr(&["run", "--config"], &file);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains(&host.path("haipmgr.lock").display().to_string()), "{said}");
    assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
    assert!(!host.path("HAIPMGR_3306.log").exists(), "a refused start writes no log");
}

#[test]
fn an_install_path_that_the_agent_s_user_can_t_write_to_is_refused() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", &TOML.replace("\"FOLDER/\"", "\"/usr/\""));
    // An ordinary user, who may read the configuration and run a copy of the program.
    let program = host.path("haipmgr");
    copied_program::at(&program);
    let mut command = Command::new(&program);
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&file, Some(65534), Some(65534)).unwrap();
        std::fs::set_permissions(host.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        command.uid(65534).gid(65534);
    }
    let output = copied_program::output(command.args(["check", "--config"]).arg(&file));
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains(&format!("{}:10:1: the folder /usr/ can't be written to", file.display())),
        "{said}"
    );
}

#[test]
fn check_says_what_would_run_and_takes_no_lock() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", TOML);
    let output = host.haipmgr(&["check", "--config"], &file);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for words in [
        "[orders]",
        "10.77.0.100/32",
        "10.77.0.11 (eth0)",
        "10.77.0.254",
        "HAIPMGR_3306.log",
        "stat_3306",
        "lease 10s",
        "haipmgr.lock",
        "advice   this-host: not looked at: no address of this host is a member's address",
        "0 problems, 1 piece of advice",
    ] {
        assert!(said.contains(words), "{words} is not in {said}");
    }
    assert!(!said.contains("KRj"), "the password is shown: {said}");
    assert!(!host.path("haipmgr.lock").exists());
}

#[test]
fn check_offline_looks_at_the_file_alone() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", TOML);
    let output = host.haipmgr(&["check", "--offline", "--config"], &file);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(said.contains("[orders] VIP 10.77.0.100/32"), "{said}");
    assert!(said.ends_with("ok       file: every key is understood, and the values fit together\n\n0 problems, 0 pieces of advice\n"), "{said}");
}

#[test]
fn check_as_json_says_the_same_and_of_a_wrong_file_where() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", TOML);
    let output = host.haipmgr(&["check", "--format", "json", "--config"], &file);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((said["format"].as_u64(), said["problems"].as_u64()), (Some(1), Some(0)));
    assert_eq!(said["clusters"][1]["cluster"], "orders");
    assert_eq!(said["clusters"][1]["lines"][0]["name"], "this-host");
    assert!(!text(&output.stdout).contains("KRj"));

    let wrong = host.write("wrong.toml", &TOML.replace("gateway ", "gatway "));
    let output = host.haipmgr(&["check", "--format", "json", "--config"], &wrong);
    assert_eq!(output.status.code(), Some(2));
    let said: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let line = &said["clusters"][0]["lines"][0];
    assert_eq!((line["level"].as_str(), line["name"].as_str()), (Some("problem"), Some("file")));
    assert!(line["says"].as_str().unwrap().starts_with("5:1: unknown key"), "{line}");
}

#[test]
fn sql_prints_the_account_without_its_password() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", TOML);
    let said = text(&host.haipmgr(&["sql", "--config"], &file).stdout);
    assert!(said.contains("CREATE USER 'haip''o'@'%'"), "{said}");
    assert!(said.contains("GRANT SELECT ON performance_schema.* TO 'haip''o'@'%';"), "{said}");
    assert!(said.contains("GRANT EXECUTE ON PROCEDURE haipmgr.wake_expel TO 'haip''o'@'%';"), "{said}");
    assert!(!said.contains("KRj"), "{said}");
}

#[test]
fn convert_prints_toml_that_check_accepts() {
    let host = Host::new();
    let python = host.write(
        "parameter.py",
        "par_var = {'vip':'10.77.0.100','cluser_ip':{'10.77.0.11':'eth0'},'ip_gateway':'10.77.0.254','mysql_port':'3306',\\\n\
         'inter_port':'33061','passwd':'KRj$r748Lf','user':'haip','platfrom':'linux','sleeptime':7,'install_path':'FOLDER/'}\n",
    );
    let output = host.haipmgr(&["convert"], &python);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let toml = host.write("haipmgr.toml", &text(&output.stdout));
    let output = host.haipmgr(&["check", "--config"], &toml);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(
        host.haipmgr(&["convert"], &toml).status.code(),
        Some(2),
        "what is TOML already is not converted"
    );
}

#[test]
fn history_and_explain_read_the_files_alone_and_end_with_the_status_that_is_documented() {
    let host = Host::new();
    let file = host.write("haipmgr.toml", TOML);
    let ends = |words: &[&str], status: i32, says: &str| {
        let output = host.haipmgr(words, &file);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
    };
    ends(&["history", "--config"], 0, "no switch of a VIP is in the history");
    ends(&["explain", "last", "--config"], 1, "no switch of a VIP is in the history");
    ends(&["explain", "now", "--config"], 1, "nothing is recorded in");
    let line = r#"{"format":1,"id":"3306-A","kind":"came","code":"A_LATER_WORD","at":"2026-11-29T01:30:12.345+00:00","cluster":"orders","vip":"10.77.0.100","from":null,"to":null,"by":{"how":"automatic","who":null,"reason":null},"sentence":"orders came","outage":null,"seen":[{"ms":-5.0,"what":"a sign"}],"trace_us":1}"#;
    host.write("history_3306.jsonl", &format!("{line}\n{{\"cut"));
    ends(&["history", "--config"], 0, "A_LATER_WORD");
    ends(&["history", "--config"], 0, "1 of the history's lines can't be read");
    ends(&["history", "--since", "2026-11-30", "--config"], 0, "no switch of a VIP");
    ends(&["explain", "3306-A", "--config"], 0, "a sign");
    ends(&["explain", "3306", "--config"], 0, "the trace of it is gone");
    ends(&["explain", "3307", "--config"], 1, "haipmgr history prints the IDs");
    ends(&["history", "--since", "yesterday", "--config"], 2, "a length of time");
    ends(&["history", "--cluster", "bills", "--config"], 2, "there is: orders");
    let broken = host.write("other.toml", "");
    assert_eq!(host.haipmgr(&["history", "--config"], &broken).status.code(), Some(2));
}
