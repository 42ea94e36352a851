//! One agent a host and a cluster, and how it is spoken to. Real programs, in network namespaces of their own; needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod copied_program;
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

    /// Both what it says and what it complains of.
    fn says_all(&self, words: &[&str], file: &Path) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } =
            self.command(words, file).stdout(Stdio::piped()).output().unwrap();
        (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
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

/// One line to the agent, and its answer.
fn asked(socket: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut answer = String::new();
    // An agent that ends may reset the connection behind its answer.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn an_old_command_is_understood_and_answered_as_it_understands_and_a_newer_one_is_told_so_in_a_sentence() {
    in_new_namespace(|| async {
        let files = Files::new();
        let file = files.configure("10.77.0.100", files.0.path());
        let mut agent = files.agent(&file);
        let socket = files.path("haipmgr.control");
        let undrained = asked(&socket, "{\"undrain\":{\"cluster\":null}}\n");
        assert!(undrained.starts_with("{\"done\":\"undrained:"), "{undrained}");
        let newer = asked(&socket, "{\"protocol\":99,\"request\":{\"levitate\":{}}}\n");
        assert!(newer.starts_with("{\"protocol\":1,\"answer\":{\"failed\":"), "{newer}");
        for word in ["protocol 1", "protocol 99", "use the same version on both"] {
            assert!(newer.contains(word), "{newer}");
        }
        let status = asked(&socket, "{\"protocol\":1,\"request\":{\"status\":{\"cluster\":\"orders\"}}}\n");
        for word in ["{\"protocol\":1,\"answer\":{\"status\":{", "\"name\":\"orders\"", "\"stages\":["] {
            assert!(status.contains(word), "{status}");
        }
        let unknown = asked(&socket, "{\"protocol\":1,\"request\":{\"status\":{\"cluster\":\"stock\"}}}\n");
        assert!(unknown.contains("no cluster \\\"stock\\\""), "{unknown}");
        let stopped = asked(&socket, "\"stop\"\n");
        assert_eq!(stopped, "{\"done\":\"the agent has ended; the VIP stays as it is\"}\n");
        assert_eq!(agent.status(), Some(0));
    });
}

#[test]
fn a_command_that_meets_an_agent_of_version_0_1_speaks_as_that_understands_or_says_that_it_is_old() {
    in_new_namespace(|| async {
        let files = Files::new();
        let file = files.configure("10.77.0.100", files.0.path());
        let listener = std::os::unix::net::UnixListener::bind(files.path("haipmgr.control")).unwrap();
        // As version 0.1 does it.
        let old = std::thread::spawn(move || {
            let mut heard = Vec::new();
            while let Ok((mut stream, _)) = listener.accept() {
                let mut line = String::new();
                std::io::BufRead::read_line(&mut std::io::BufReader::new(&stream), &mut line).unwrap();
                let answer = match line.trim() {
                    "\"stop\"" => "{\"done\":\"the agent has ended; the VIP stays as it is\"}\n",
                    _ => {
                        "{\"failed\":\"this version cannot read the message (unknown variant `protocol`)\"}\n"
                    }
                };
                stream.write_all(answer.as_bytes()).unwrap();
                heard.push(line.trim().to_owned());
                if line.trim() == "\"stop\"" {
                    break;
                }
            }
            heard
        });
        let (_, said) = files.says_all(&["status"], &file);
        assert!(said.contains("version 0.1, which cannot be asked that; restart it"), "{said}");
        let (status, said) = files.says(&["stop"], &file);
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("the agent has ended"), "{said}");
        let heard = old.join().unwrap();
        assert_eq!(heard.last().map(String::as_str), Some("\"stop\""), "{heard:?}");
    });
}

#[test]
fn a_member_of_the_socket_group_may_read_and_orders_nothing() {
    const NOBODY: u32 = 65_534;
    in_new_namespace(|| async {
        let files = Files::new();
        let file = files.configure("10.77.0.100", files.0.path());
        let mut agent = files.agent(&file);
        let socket = files.path("haipmgr.control");
        // As the agent does it where there is a group haipmgr.
        std::os::unix::fs::chown(&socket, None, Some(NOBODY)).unwrap();
        std::fs::set_permissions(&socket, std::fs::Permissions::from_mode(0o660)).unwrap();
        std::fs::set_permissions(files.0.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();
        let program = files.path("program");
        copied_program::at(&program);
        let as_nobody = |words: &[&str], gid: u32| {
            use std::os::unix::process::CommandExt as _;
            let mut command = Command::new(&program);
            command.args(words).arg("--config").arg(&file).uid(NOBODY).gid(gid).current_dir("/");
            let Output { status, stdout, stderr } = copied_program::output(&mut command);
            (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
        };
        // A machine that is busy with other tests may make it late, which it says.
        let since = Instant::now();
        let mut said = String::new();
        while !said.contains("\"agent\":{\"version\"") && since.elapsed() < LIMIT {
            said = as_nobody(&["status", "--format", "json"], NOBODY).1;
        }
        assert!(said.contains("\"agent\":{\"version\""), "{said}");
        let (status, said) = as_nobody(&["stop"], NOBODY);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("user 65534 may not order this agent anything"), "{said}");
        let (status, said) = as_nobody(&["status"], NOBODY - 1);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains("may be asked by root, its own user and the group haipmgr alone"), "{said}");
        assert_eq!(agent.0.try_wait().unwrap(), None, "it goes on");
    });
}

#[test]
fn a_thousand_connections_keep_nobody_from_asking_how_it_is_afterwards_and_orders_are_carried_out() {
    in_new_namespace(|| async {
        let files = Files::new();
        let file = files.configure("10.77.0.100", files.0.path());
        let mut agent = files.agent(&file);
        let socket = files.path("haipmgr.control");
        let mut open = Vec::new();
        let mut most = 0;
        for _ in 0..1_000 {
            open.extend(UnixStream::connect(&socket).ok());
            most = most.max(open.len());
            if open.len() == 500 {
                open.clear();
            }
        }
        assert!(most >= 400, "{most} were open at a time");
        drop(open);
        let (_, said) = files.says_all(&["status"], &file);
        assert!(said.contains("Agent on this host: haipmgr"), "{said}");
        let (status, said) = files.says(&["stop"], &file);
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(agent.status(), Some(0));
    });
}
