//! What the agent answers over HTTP, where the file has `listen`: metrics, health checks, status, history, and a page to look at. Above
//! `control` and `status`, below `commands`. It only reads: nothing can be ordered here, and nothing decides by it.
//!
//! | file | the one idea |
//! |---|---|
//! | `room.rs` | room for so many connections: who asks nothing gives way |
//! | `server.rs` | the thread: who is heard, within which limits |
//! | `listener.rs` | an address, a socket file, TLS |
//! | `token.rs` | whether who asks may: pure |
//! | `routes.rs` | what is asked for, and what is answered |
//! | `looks.rs` | the agents asked, and the whole cluster looked at, no more often than is good for either |
//! | `health.rs` | how this host is for a load balancer: pure |
//! | `metrics.rs` | the numbers, by name: pure |
//! | `events.rs` | the page's stream |
//! | `page.html` | the page |
//!
//! It has a thread of its own, an ordinary one (nice 10), which takes no time from the one that decides, nor from mysqld.
//! docs/http.md has every path, metric and limit.

mod events;
mod health;
mod listener;
mod looks;
mod metrics;
mod room;
mod routes;
mod server;
mod token;

pub use self::server::{Http, HttpError};

#[cfg(test)]
mod tests {
    mod everything;
    mod packaged;
    mod stable;
}
