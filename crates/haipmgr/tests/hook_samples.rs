//! The sample hooks of packaging/examples, run as the agent runs a hook: its environment, its line on standard input. What they call
//! (a mailer, curl, a cloud's command line) is a recorder in its place: what is shown is which command is run with what, not that a cloud
//! does it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const SENTENCE: &str = r#"10.77.0.100 came from db1: "switchover" by root; $(touch never) `date` \ 0.02 s"#;

/// A folder with recorders first in the path.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn with(programs: &[&str]) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        for program in programs {
            place.recorder(program, 0);
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes each argument in a line of its own, and what stands on its standard input.
    fn recorder(&self, program: &str, status: i32) {
        let file = self.path(program);
        let calls = self.path("calls");
        let script = format!(
            "#!/bin/sh\n{{ echo \"== {program}\"; printf '%s\\n' \"$@\"; [ -t 0 ] || cat; }} >>{}\nexit {status}\n",
            calls.display()
        );
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.path(name);
        fs::write(&file, text).unwrap();
        file
    }

    fn run(&self, hook: &str, arguments: &[&Path], with_vip: bool) -> Output {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging/examples").join(hook);
        let path = format!("{}:/usr/bin:/bin", self.folder.path().display());
        let mut command = Command::new(program);
        command.args(arguments).env_clear().env("PATH", path).env("SENDMAIL", self.path("sendmail"));
        command.envs([
            ("HAIPMGR_HOOK", "on_acquire"),
            ("HAIPMGR_AT", "2026-11-30T02:11:09.120Z"),
            ("HAIPMGR_HOST", "db2"),
            ("HAIPMGR_CLUSTER", "orders"),
            ("HAIPMGR_SENTENCE", SENTENCE),
        ]);
        if with_vip {
            command.envs([
                ("HAIPMGR_VIP", "10.77.0.100"),
                ("HAIPMGR_CODE", "SWITCHOVER"),
                ("HAIPMGR_ID", "a1"),
            ]);
        }
        command.current_dir(self.folder.path());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let line = serde_json::json!({
            "format": 1, "hook": "on_acquire", "host": "db2", "cluster": "orders", "vip": "10.77.0.100", "sentence": SENTENCE,
            "switch": { "code": "SWITCHOVER", "sentence": "another one" },
        });
        // A hook need not read it.
        let _ = writeln!(child.stdin.take().unwrap(), "{line}");
        child.wait_with_output().unwrap()
    }

    fn calls(&self) -> String {
        assert!(!self.path("never").exists(), "the sentence was run as a command");
        fs::read_to_string(self.path("calls")).unwrap_or_default()
    }
}

fn well(output: &Output) {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_mail_says_what_happened_where_and_what_to_type() {
    let place = Place::with(&["sendmail"]);
    well(&place.run("hook-mail", &[Path::new("dba@example.org")], true));
    let mail = place.calls();
    assert!(mail.contains("To: dba@example.org\nSubject: SWITCHOVER on db2 (10.77.0.100)\n"), "{mail}");
    assert!(
        mail.contains(&format!("\n\n{SENTENCE}\n")) && mail.contains("haipmgr explain a1, on db2"),
        "{mail}"
    );
    let of_trouble = Place::with(&["sendmail"]);
    well(&of_trouble.run("hook-mail", &[Path::new("dba@example.org")], false));
    assert!(of_trouble.calls().contains("Subject: on_acquire on db2 (orders)\n"));
    let to_nobody = place.run("hook-mail", &[], true);
    assert!(!to_nobody.status.success(), "a mail to nobody is no mail");
}

#[test]
fn the_chat_gets_the_sentence_as_json_and_the_address_is_in_no_argument() {
    let place = Place::with(&["curl"]);
    let address = place.write("chat.address", "https://chat.example.org/hooks/4f2a\n");
    well(&place.run("hook-chat", &[Path::new("text"), &address], true));
    let call = place.calls();
    let (arguments, config) = call.split_once("url = ").unwrap();
    assert!(arguments.contains("--fail") && !arguments.contains("4f2a"), "{call}");
    assert!(config.starts_with("\"https://chat.example.org/hooks/4f2a\"\n"), "{call}");
    // As curl's manual has it: within quotes a backslash escapes a quote and a backslash.
    let data = config.lines().find_map(|line| line.strip_prefix("data = \"")?.strip_suffix('"')).unwrap();
    let mut body = String::new();
    let mut letters = data.chars();
    while let Some(letter) = letters.next() {
        body.push(if letter == '\\' { letters.next().unwrap() } else { letter });
    }
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body, serde_json::json!({ "text": SENTENCE }));
}

#[test]
fn a_chat_that_can_not_be_reached_is_a_failure_that_the_agent_hears_of() {
    let place = Place::with(&[]);
    place.recorder("curl", 22);
    let address = place.write("chat.address", "https://chat.example.org/hooks/4f2a\n");
    assert!(!place.run("hook-chat", &[Path::new("text"), &address], true).status.success());
}

#[test]
fn each_cloud_is_asked_to_give_this_host_the_address() {
    for (settings, expected) in [
        (
            "CLOUD=aws THIS=eni-0123\nAWS_CONFIG_FILE=/etc/haipmgr/aws\n",
            "== aws\nec2\nassign-private-ip-addresses\n--network-interface-id\neni-0123\n--private-ip-addresses\n10.77.0.100\n--allow-reassignment\n",
        ),
        (
            "CLOUD=gcp THIS=db2 ZONE=a OTHERS='db1 db3/b'\n",
            "== gcloud\ncompute\ninstances\nnetwork-interfaces\nupdate\ndb1\n--zone\na\n--aliases\n\n== gcloud\ncompute\ninstances\nnetwork-interfaces\nupdate\ndb3\n\
             --zone\nb\n--aliases\n\n== gcloud\ncompute\ninstances\nnetwork-interfaces\nupdate\ndb2\n--zone\na\n--aliases\n10.77.0.100/32\n",
        ),
        (
            "CLOUD=azure THIS=db2-nic RESOURCE_GROUP=rg OTHERS=db1-nic\n",
            "== az\nnetwork\nnic\nip-config\ndelete\n--resource-group\nrg\n--nic-name\ndb1-nic\n--name\nhaipmgr-vip\n\
             == az\nnetwork\nnic\nip-config\ncreate\n--resource-group\nrg\n--nic-name\ndb2-nic\n--name\nhaipmgr-vip\n--private-ip-address\n10.77.0.100\n",
        ),
    ] {
        let place = Place::with(&["aws", "gcloud", "az"]);
        let file = place.write("cloud", settings);
        well(&place.run("hook-cloud-address", &[&file], true));
        let line_of_the_agent = |line: &&str| !line.starts_with('{');
        let calls: Vec<String> = place.calls().lines().filter(line_of_the_agent).map(str::to_owned).collect();
        assert_eq!(calls.join("\n") + "\n", expected);
    }
}

#[test]
fn a_cloud_that_refuses_is_a_failure_and_an_old_holder_that_is_gone_is_none() {
    let place = Place::with(&[]);
    place.recorder("aws", 255);
    let file = place.write("cloud", "CLOUD=aws THIS=eni-0123\n");
    assert!(!place.run("hook-cloud-address", &[&file], true).status.success());
    let place = Place::with(&[]);
    let script = "#!/bin/sh\ncase \"$*\" in *delete*) exit 3 ;; esac\n";
    fs::set_permissions(place.write("az", script), fs::Permissions::from_mode(0o755)).unwrap();
    let file = place.write("cloud", "CLOUD=azure THIS=db2-nic RESOURCE_GROUP=rg OTHERS=db1-nic\n");
    well(&place.run("hook-cloud-address", &[&file], true));
    let file = place.write("cloud", "CLOUD=other THIS=x\n");
    let refused = place.run("hook-cloud-address", &[&file], true);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("write aws, gcp or azure"));
}
