//! One agent a host and a cluster, and how it is spoken to. Real programs, in network namespaces of their own; needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use namespace::{LIMIT, Neighbor, in_new_namespace};

const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A file system of its own, as far as an agent can see: all its files are in here.
struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A configuration in here, whose cluster's files are in `install_path`.
    fn configure(&self, vip: &str, install_path: &Path) -> PathBuf {
        let file = self.path("haipmgr.toml");
        let text = format!(
            "lock = \"{}\"\n[[cluster]]\nname = \"orders\"\nvip = \"{vip}\"\ngateway = \"10.77.0.254\"\nmysql_port = 3306\n\
             group_port = 33061\nuser = \"haip\"\npassword = \"x\"\ninstall_path = \"{}\"\n[cluster.members]\n\"10.77.0.11\" = \"eth0\"\n",
            self.path("haipmgr.lock").display(),
            install_path.display(),
        );
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        file
    }

    fn command(&self, words: &[&str], file: &Path) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_haipmgr"));
        command
            .args(words)
            .arg("--config")
            .arg(file)
            .env("RUNTIME_DIRECTORY", self.path("run"))
            .env_remove("JOURNAL_STREAM")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    fn says(&self, words: &[&str], file: &Path) -> (Option<i32>, String) {
        let Output { status, stderr, .. } = self.command(words, file).output().unwrap();
        (status.code(), String::from_utf8(stderr).unwrap())
    }

    /// An agent that has come so far that it can be spoken to.
    fn agent(&self, file: &Path) -> Agent {
        let mut agent = Agent(self.command(&["run"], file).stderr(Stdio::null()).spawn().unwrap());
        let since = Instant::now();
        while UnixStream::connect(self.path("haipmgr.control")).is_err() {
            assert_eq!(agent.0.try_wait().unwrap(), None, "it ended");
            assert!(since.elapsed() < LIMIT, "it does not come to listen");
            std::thread::sleep(LOOK_EVERY);
        }
        agent
    }
}

/// Killed when it is dropped.
struct Agent(Child);

impl Agent {
    fn status(&mut self) -> Option<i32> {
        let since = Instant::now();
        while since.elapsed() < LIMIT {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(LOOK_EVERY);
        }
        panic!("the agent goes on");
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn s4_an_agent_for_the_same_vip_in_the_same_network_namespace_is_refused_whatever_its_files() {
    in_new_namespace(|| async {
        let (first, second) = (Files::new(), Files::new());
        let agent = first.agent(&first.configure("10.77.0.100", first.0.path()));
        let file = second.configure("10.77.0.100", second.0.path());
        let (status, said) = second.says(&["run"], &file);
        assert_eq!(status, Some(3), "{said}");
        let process = format!("process {}", agent.0.id());
        assert!(said.contains("VIP 10.77.0.100") && said.contains(&process), "{said}");
        drop(agent);
        drop(second.agent(&file));
    });
}

#[test]
fn agents_for_other_vips_in_other_file_systems_of_one_network_namespace_may_both_run() {
    in_new_namespace(|| async {
        let (first, second) = (Files::new(), Files::new());
        let _agent = first.agent(&first.configure("10.77.0.100", first.0.path()));
        let _other = second.agent(&second.configure("10.77.0.101", second.0.path()));
    });
}

#[test]
fn s4_an_agent_for_the_same_cluster_in_another_network_namespace_is_refused_by_the_file_beside_its_log() {
    in_new_namespace(|| async {
        let (first, second) = (Files::new(), Files::new());
        let agent = first.agent(&first.configure("10.77.0.100", first.0.path()));
        let file = second.configure("10.77.0.100", first.0.path());
        let neighbor = Neighbor::new();
        let process = format!("process {}", agent.0.id());
        neighbor.run(move || async move {
            let (status, said) = second.says(&["run"], &file);
            assert_eq!(status, Some(3), "{said}");
            assert!(said.contains("HAIPMGR_3306.lock") && said.contains(&process), "{said}");
        });
    });
}

#[test]
fn stop_ends_the_agent_and_comes_back_when_it_has_ended() {
    in_new_namespace(|| async {
        let files = Files::new();
        let file = files.configure("10.77.0.100", files.0.path());
        for words in [&["stop"][..], &["stop", "--release"], &["stop", "--release", "--cluster", "orders"]] {
            let mut agent = files.agent(&file);
            let (status, said) = files.says(words, &file);
            assert_eq!(status, Some(0), "{words:?}: {said}");
            assert!(said.contains("the agent has ended"), "{said}");
            assert_eq!(agent.status(), Some(0));
            let log = std::fs::read_to_string(files.path("HAIPMGR_3306.log")).unwrap();
            assert!(log.contains(&format!("told to end by haipmgr {}", words.join(" "))), "{log}");
            assert!(!files.path("haipmgr.control").exists());
        }
    });
}

#[test]
fn stop_where_no_agent_runs_fails_and_a_cluster_that_is_not_there_is_bad_input() {
    in_new_namespace(|| async {
        let files = Files::new();
        let file = files.configure("10.77.0.100", files.0.path());
        let (status, said) = files.says(&["stop"], &file);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("no agent") && said.contains("haipmgr.control"), "{said}");
        let mut agent = files.agent(&file);
        let (status, said) = files.says(&["stop", "--release", "--cluster", "accounts"], &file);
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains("\"accounts\"") && said.contains("there is: orders"), "{said}");
        let (status, said) = files.says(&["stop", "--cluster", "orders"], &file);
        assert_eq!(status, Some(2), "{said}");
        assert_eq!(agent.0.try_wait().unwrap(), None, "it goes on");
    });
}

#[test]
fn nonsense_and_silence_on_the_control_socket_keep_nobody_from_being_heard() {
    in_new_namespace(|| async {
        let files = Files::new();
        let file = files.configure("10.77.0.100", files.0.path());
        let mut agent = files.agent(&file);
        let socket = files.path("haipmgr.control");
        let mode = std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{mode:o}");
        let mut answers = Vec::new();
        for nonsense in [
            &b"\"halt\"\n"[..],
            &[0xff; 5000],
            b"{\"release\":\n",
            b"{\"release\":{\"cluster\":\"accounts\"}}\n",
        ] {
            let mut stream = UnixStream::connect(&socket).unwrap();
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            // The agent may have heard enough before all of it is written.
            let _ = stream.write_all(nonsense);
            let mut answer = [0; 64];
            let length = stream.read(&mut answer).unwrap_or(0);
            answers.push(String::from_utf8_lossy(&answer[..length]).into_owned());
        }
        assert!(
            answers.iter().all(|answer| answer.is_empty() || answer.starts_with("{\"failed\":")),
            "{answers:?}"
        );
        assert!(answers[0].starts_with("{\"failed\":"), "{answers:?}");
        let silent: Vec<_> = (0..8).map(|_| UnixStream::connect(&socket).unwrap()).collect();
        let (status, said) = files.says(&["stop"], &file);
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(agent.status(), Some(0));
        drop(silent);
    });
}
