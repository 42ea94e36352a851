//! A plan in words, as it is printed.

use core::fmt;
use std::net::IpAddr;

use super::{Candidate, Obstacle, Plan, Unfit, Weight};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((address, name)) = &self.from {
            writeln!(f, "primary    {}", both(*address, name))?;
        }
        for candidate in &self.candidates {
            let target = self.target.as_ref().is_some_and(|(address, _)| *address == candidate.address);
            let mark = if target { "->" } else { "  " };
            writeln!(f, "candidate {mark} {candidate}")?;
        }
        for obstacle in &self.obstacles {
            let kind = match obstacle.weight {
                Weight::Blocks => "blocks",
                Weight::Unknown => "not known",
                Weight::Lost => "loses work",
                Weight::Slows => "slows",
                Weight::Note => "note",
            };
            writeln!(f, "{kind:<10} {}", obstacle.words)?;
        }
        match self.obstacles.iter().filter(|obstacle| obstacle.weight == Weight::Lost).count() {
            0 => Ok(()),
            1 => writeln!(f, "lost       the work of 1 transaction under autocommit = 0"),
            lost => writeln!(f, "lost       the work of {lost} transactions under autocommit = 0"),
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.words)
    }
}

fn both(address: IpAddr, name: &str) -> String {
    if name.is_empty() || name == address.to_string() {
        address.to_string()
    } else {
        format!("{address} ({name})")
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", both(self.address, &self.name))?;
        let words: Vec<_> = self.unfit.iter().map(ToString::to_string).collect();
        match (words.is_empty(), self.queue) {
            (true, Some(0)) => write!(f, "  fit"),
            (true, Some(queue)) => write!(f, "  fit, {queue} transactions to apply first"),
            (true, None) => write!(f, "  fit, its queue is not known"),
            (false, _) => write!(f, "  not fit: {}", words.join("; ")),
        }
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "its server cannot be asked: {why}"),
            Self::State(state) => write!(f, "it is {state}, not ONLINE"),
            Self::NotAMember => f.write_str("it is not in the primary's group"),
            Self::Version { own, lowest } => {
                write!(
                    f,
                    "its version is {own}, and a member of {lowest} is in the group: MySQL lets only the lowest lead"
                )
            }
            Self::Behind(queue) => {
                write!(f, "it is behind by {queue} transactions (--force takes it all the same)")
            }
            Self::Blocked(count) => write!(f, "{count} of its sessions would hold the switchover up"),
        }
    }
}
