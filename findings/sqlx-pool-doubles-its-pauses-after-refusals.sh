#!/bin/bash
# sqlx 0.9.0 (Rust), MySQL pool: a connection that is refused is tried again by the pool itself, after a pause that doubles each time from 10 ms. Nothing in
# the pool's documentation says so: acquire() neither fails nor tries in equal steps.
#
# A port that refuses for 7 s (a primary that was killed, until the group has elected) and is open from then on is tried at 0, 0.01, 0.03, 0.07 … 2.55, 5.11
# and next at 10.2 s: the application waits half as long again as the outage lasts, and is told of no error meanwhile. Clients that try each 0.1 s are
# served at 7 s. haipmgr's docs/clients.md says which setting bounds the pause.
#
# Needs Rust, cargo and crates.io; no server: a port of loopback that is closed, then open. Seen: refused for 7.0 s, the first connection 10.3 s after
#   acquire() (3.3 s after the port was open), no error before.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat >"$work/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
sqlx = { version = "=0.9.0", default-features = false, features = ["mysql", "runtime-tokio"] }
tokio = { version = "1", features = ["rt", "time", "macros"] }
[workspace]
TOML
cat >"$work/src/main.rs" <<'RUST'
use std::net::TcpListener;
use std::time::{Duration, Instant};

const REFUSED_FOR: Duration = Duration::from_secs(7);

#[tokio::main(flavor = "current_thread")]
async fn main() {
    // A port that nobody else has: it was ours a moment ago.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|held| held.local_addr()).unwrap();
    let began = Instant::now();
    let server = std::thread::spawn(move || {
        std::thread::sleep(REFUSED_FOR);
        let listener = TcpListener::bind(address).unwrap();
        let open = began.elapsed();
        listener.accept().unwrap();
        (open, began.elapsed())
    });
    let pool = sqlx::mysql::MySqlPoolOptions::new()
        .connect_lazy(&format!("mysql://app:app@{address}/app"))
        .unwrap();
    // What accepts says nothing, so this ends when the program does; before that it ends only with an error.
    let acquired = tokio::spawn(async move { pool.acquire().await.map(drop) });
    while !server.is_finished() {
        assert!(!acquired.is_finished(), "acquire() ended before the port was tried: {:?}", acquired.await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (open, tried) = server.join().unwrap();
    println!("sqlx 0.9.0: refused for {:.1} s, tried next {:.1} s after acquire()", open.as_secs_f64(), tried.as_secs_f64());
    let late = tried - open;
    std::process::exit(if late > Duration::from_secs(2) { 0 } else { 1 });
}
RUST
cargo run --quiet --manifest-path "$work/Cargo.toml" || { echo CHANGED; exit 1; }
echo "as expected"
