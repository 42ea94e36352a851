//! What the VIP is called on its interface.

use std::fmt;

/// The longest label, in bytes: IFNAMSIZ less the closing zero.
const LABEL_BYTES: usize = 15;

/// The name under which `ifconfig` and `ip` show the VIP: `interface:port`, at most 15 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label(String);

impl Label {
    /// The label for this interface and database port. Where `interface:port` is too long: a shorter one, and a line that says so.
    ///
    /// The kernel takes any text; `ifconfig` finds an address only when its label is the interface's name, or begins with the
    /// interface's name and a colon. So the end of the port is what stays, or the interface's name alone.
    pub fn new(interface: &str, port: u16) -> (Self, Option<String>) {
        let whole = format!("{interface}:{port}");
        if whole.len() <= LABEL_BYTES {
            return (Self(whole), None);
        }
        let digits = port.to_string();
        let room = LABEL_BYTES.saturating_sub(interface.len() + 1).min(digits.len());
        let short = match digits.get(digits.len() - room..) {
            Some(end) if room > 0 => format!("{interface}:{end}"),
            _ => interface.to_owned(),
        };
        let note = format!(
            "the label \"{whole}\" is longer than the kernel's {LABEL_BYTES} bytes: the VIP is labelled \"{short}\""
        );
        (Self(short), Some(note))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_fits_is_interface_and_port() {
        assert_eq!(Label::new("eth0", 3306), (Label("eth0:3306".into()), None));
        assert_eq!(Label::new("enp0s31f6", 33061).0.to_string(), "enp0s31f6:33061");
    }

    #[test]
    fn a_label_that_is_too_long_still_begins_with_the_interface_and_a_line_says_so() {
        for (interface, port, short) in [
            ("enp0s31f6n", 33061, "enp0s31f6n:3061"),
            ("enp0s31f6np0", 33061, "enp0s31f6np0:61"),
            ("enp0s31f6np01", 3306, "enp0s31f6np01:6"),
            ("enp0s31f6np012", 3306, "enp0s31f6np012"),
            ("enp0s31f6np0123", 3306, "enp0s31f6np0123"),
        ] {
            let (label, note) = Label::new(interface, port);
            assert_eq!(label.to_string(), short);
            assert!(label.0.len() <= LABEL_BYTES);
            let note = note.unwrap_or_default();
            assert!(note.contains(&format!("{interface}:{port}")) && note.contains(short), "{note}");
            assert!(!note.to_lowercase().contains("warn"));
        }
    }
}
