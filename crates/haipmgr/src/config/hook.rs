//! What the operator has run when something happens to a VIP (docs/hooks.md).

use core::fmt;
use std::collections::BTreeMap;

use nix::unistd::AccessFlags;
use serde::Serialize;

use super::value::Value;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// A VIP came to this host, and stayed.
    OnAcquire,
    /// A VIP left this host.
    OnRelease,
    /// Another host uses a VIP, or answers for it, that has no business with it.
    OnConflict,
    /// Something that a person should look at: a line of the log with the level ERROR.
    OnTrouble,
}

impl Happening {
    /// As the configuration has it.
    pub fn key(self) -> &'static str {
        match self {
            Self::OnAcquire => "on_acquire",
            Self::OnRelease => "on_release",
            Self::OnConflict => "on_conflict",
            Self::OnTrouble => "on_trouble",
        }
    }
}

/// What is run.
#[derive(Clone, PartialEq, Eq)]
pub enum Hook {
    /// A program's whole path and its arguments.
    Program(Vec<String>),
    /// A web address that a message is sent to. It may hold a secret, and is shown nowhere.
    Web(String),
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Program(command) => f.debug_tuple("Program").field(command).finish(),
            Self::Web(_) => f.write_str("Web(hidden)"),
        }
    }
}

/// A list is a program, a text a web address.
pub(super) fn hook(value: &Value) -> Result<Hook, String> {
    const ADVICE: &str = "write a list, the program's whole path and its arguments, such as [\"/usr/local/sbin/moved\"], or a web address such as \"https://example.org/hook\"";
    match value {
        Value::Text(address) => {
            let uri: Result<hyper::Uri, _> = address.parse();
            let fits = uri
                .is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some());
            if fits {
                Ok(Hook::Web(address.to_string()))
            } else {
                Err(format!("this is no web address; {ADVICE}"))
            }
        }
        Value::List(items) => {
            let word = |item: &Value| match item {
                Value::Text(word) => Ok(word.to_string()),
                other => Err(format!("{} in the list; {ADVICE}", other.kind())),
            };
            let command = items.iter().map(word).collect::<Result<Vec<_>, _>>()?;
            match command.first() {
                Some(program) if program.starts_with('/') => Ok(Hook::Program(command)),
                Some(_) => Err(format!("the program's path does not begin with \"/\"; {ADVICE}")),
                None => Err(format!("this list is empty; {ADVICE}")),
            }
        }
        other => Err(format!("this is {}; {ADVICE}", other.kind())),
    }
}

/// Hooks' programs that can't be run here, a sentence each. That is no reason not to start: the VIP does not depend on them.
pub fn missing_programs(hooks: &BTreeMap<Happening, Hook>) -> Vec<String> {
    let missing = hooks.iter().filter_map(|(happening, hook)| {
        let Hook::Program(command) = hook else { return None };
        let program = command.first()?;
        let cause = nix::unistd::access(program.as_str(), AccessFlags::X_OK).err()?;
        Some(format!("{}: {program} can't be run: {}", happening.key(), cause.desc()))
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named_and_one_that_is_there_and_a_web_address_are_not() {
        let program = |path: &str| Hook::Program(vec![path.to_owned()]);
        let hooks = BTreeMap::from([
            (Happening::OnAcquire, program("/bin/sh")),
            (Happening::OnRelease, program("/nowhere/hook")),
            (Happening::OnTrouble, Hook::Web("https://example.org/nowhere".to_owned())),
        ]);
        let missing = missing_programs(&hooks);
        assert_eq!(missing, ["on_release: /nowhere/hook can't be run: No such file or directory"]);
    }

    #[test]
    fn what_is_neither_a_program_nor_a_web_address_is_refused_and_a_web_address_is_shown_nowhere() {
        let text = |text: &str| Value::Text(text.to_owned().into());
        for wrong in [
            text("moved"),
            text("ftp://example.org/"),
            text("/usr/local/sbin/moved"),
            Value::List(Vec::new()),
            Value::List(vec![text("moved")]),
            Value::Switch(true),
        ] {
            assert!(hook(&wrong).is_err());
        }
        let web = hook(&text("https://example.org/hook?key=very-secret"));
        assert!(web.is_ok() && !format!("{web:?}").contains("very-secret"));
    }
}
