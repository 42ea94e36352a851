//! Whether a network service looks after a card, and would remove an address from it that it has not put there itself.
//!
//! systemd-networkd and `NetworkManager` write what they know of each card to files under `/run`. The formats are their own
//! and may change: what is not understood is taken for "nobody looks after it".

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file that is read, in bytes: theirs have some hundred.
const LONGEST: u64 = 64 * 1024;
/// Where `NetworkManager`'s configuration is: `NetworkManager.conf(5)`.
const NETWORK_MANAGER: [&str; 4] = [
    "usr/lib/NetworkManager/conf.d",
    "run/NetworkManager/conf.d",
    "etc/NetworkManager/conf.d",
    "etc/NetworkManager/NetworkManager.conf",
];

/// One sentence for each service that looks after the card and is not told to leave foreign addresses alone: what it
/// does, and what to write where. None where there is no such card or no such service.
pub fn remarks(card: &str) -> Vec<String> {
    match nix::net::if_::if_nametoindex(card) {
        Ok(index) => remarks_under(Path::new("/"), card, index),
        Err(_) => Vec::new(),
    }
}

fn remarks_under(root: &Path, card: &str, index: u32) -> Vec<String> {
    [networkd(root, card, index), network_manager(root, card, index)].into_iter().flatten().collect()
}

/// systemd.network(5): `KeepConfiguration=` came with version 243; `static` and `yes` spare addresses that are not the
/// service's own.
fn networkd(root: &Path, card: &str, index: u32) -> Option<String> {
    let state = read(&root.join(format!("run/systemd/netif/links/{index}")))?;
    let value = |key: &str| {
        state
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|text| text.trim_matches('"'))
    };
    if matches!(value("ADMIN_STATE"), None | Some("unmanaged")) {
        return None;
    }
    let file = value("NETWORK_FILE")?;
    let dropins = value("NETWORK_FILE_DROPINS").unwrap_or_default();
    let kept = [file]
        .into_iter()
        .chain(dropins.split([':', ';', ' ']).filter(|path| !path.is_empty()))
        .filter_map(|path| read(&under(root, path)))
        .filter_map(|text| last_value(&text, "Network", "KeepConfiguration"))
        .next_back();
    if kept.is_some_and(|word| is_yes(&word) || word == "static") {
        return None;
    }
    Some(format!(
        "systemd-networkd looks after {card} ({file}) and removes addresses that are not its own when it is restarted, when \
         the file is applied again, and when the cable is pulled: under [Network] in that file or a drop-in of it write \
         KeepConfiguration=yes and IgnoreCarrierLoss=yes (before version 243: under [DHCP] CriticalConnection=yes), then networkctl reload"
    ))
}

/// `NetworkManager.conf(5)`: `ignore-carrier` in `[device…]` or `[main]`, `unmanaged-devices` in `[keyfile]`. Which devices a
/// setting is for is not worked out: that somebody wrote one is enough.
fn network_manager(root: &Path, card: &str, index: u32) -> Option<String> {
    let state = read(&root.join(format!("run/NetworkManager/devices/{index}")))?;
    if !last_value(&state, "device", "managed").is_some_and(|word| is_yes(&word)) {
        return None;
    }
    let ignores_carrier = NETWORK_MANAGER.iter().flat_map(|path| files_at(&root.join(path))).any(|file| {
        let text = read(&file).unwrap_or_default();
        let words = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("ignore-carrier")?.trim_start().strip_prefix('='));
        words.map(str::trim).any(|word| !word.is_empty() && !matches!(word, "no" | "false" | "0"))
    });
    if ignores_carrier {
        return None;
    }
    Some(format!(
        "NetworkManager looks after {card} and removes addresses that are not its own when the connection is activated \
         anew and when the cable is pulled: in /etc/NetworkManager/conf.d/haipmgr.conf write [device-haipmgr], \
         match-device=interface-name:{card}, ignore-carrier=yes; or, where something else configures the card, [keyfile], \
         unmanaged-devices=interface-name:{card}; then systemctl reload NetworkManager"
    ))
}

/// The last value of a key in a section of an ini file.
fn last_value(text: &str, section: &str, key: &str) -> Option<String> {
    let mut inside = false;
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            inside = name == section;
        } else if inside
            && let Some((name, value)) = line.split_once('=')
            && name.trim() == key
        {
            found = Some(value.trim().to_owned());
        }
    }
    found
}

fn is_yes(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1" | "y" | "t")
}

fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The file itself, or the `.conf` files of a folder, in order of their names.
fn files_at(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return vec![path.to_owned()] };
    let mut files: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .collect();
    files.sort();
    files
}

/// None where it is not there, not text, or not what it should be.
fn read(path: &Path) -> Option<String> {
    let about = fs::metadata(path).ok()?;
    if about.is_file() && about.len() <= LONGEST { fs::read_to_string(path).ok() } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// A folder with these files, as the root of a file system.
    struct Root(PathBuf);

    impl Root {
        fn with(files: &[(&str, &str)]) -> Self {
            static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let root = std::env::temp_dir().join(format!("haipmgr-services-{}-{number}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            Self(root)
        }

        fn remarks(&self) -> Vec<String> {
            remarks_under(&self.0, "eth0", 2)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const LINK: (&str, &str) = (
        "run/systemd/netif/links/2",
        "ADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n\
         NETWORK_FILE_DROPINS=\"/etc/systemd/network/10-eth0.network.d/a.conf:/etc/systemd/network/10-eth0.network.d/b.conf\"\n",
    );
    const FILE: &str = "etc/systemd/network/10-eth0.network";
    const DEVICE: (&str, &str) = ("run/NetworkManager/devices/2", "[device]\nmanaged=true\n");

    #[test]
    fn where_no_service_looks_after_the_card_nothing_is_said() {
        assert!(Root::with(&[]).remarks().is_empty());
        assert!(remarks("a-card-that-is-not-there").is_empty());
        for state in ["ADMIN_STATE=unmanaged\n", "", "\u{0}\u{1}nonsense"] {
            assert!(Root::with(&[(LINK.0, state)]).remarks().is_empty());
        }
        assert!(Root::with(&[(DEVICE.0, "[device]\nmanaged=false\n")]).remarks().is_empty());
    }

    #[test]
    fn systemd_networkd_is_named_with_the_file_and_the_setting_until_it_is_written() {
        let plain = (FILE, "[Match]\nName=eth0\n[Network]\nAddress=10.77.0.11/24\n");
        let said = Root::with(&[LINK, plain]).remarks();
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("KeepConfiguration=yes") && said[0].contains("10-eth0.network"), "{said:?}");
        for word in ["yes", "static", "true"] {
            let kept = format!("[Network]\nKeepConfiguration={word}\n");
            assert!(Root::with(&[LINK, (FILE, &kept)]).remarks().is_empty(), "{word}");
            let dropin = ("etc/systemd/network/10-eth0.network.d/b.conf", kept.as_str());
            assert!(Root::with(&[LINK, plain, dropin]).remarks().is_empty(), "{word}");
        }
        for text in [
            "[Network]\nKeepConfiguration=no\n",
            "[DHCPv4]\nKeepConfiguration=yes\n",
            "[Network]\nKeepConfiguration=dhcp\n",
        ] {
            assert_eq!(Root::with(&[LINK, (FILE, text)]).remarks().len(), 1, "{text}");
        }
    }

    #[test]
    fn network_manager_is_named_with_the_settings_until_one_is_written() {
        let said = Root::with(&[DEVICE]).remarks();
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains("unmanaged-devices=interface-name:eth0") && said[0].contains("ignore-carrier"),
            "{said:?}"
        );
        let written = ("etc/NetworkManager/conf.d/haipmgr.conf", "[device-haipmgr]\nignore-carrier = yes\n");
        assert!(Root::with(&[DEVICE, written]).remarks().is_empty());
        let refused = ("etc/NetworkManager/conf.d/haipmgr.conf", "[device-haipmgr]\nignore-carrier=no\n");
        assert_eq!(Root::with(&[DEVICE, refused]).remarks().len(), 1);
    }

    #[test]
    fn no_remark_bears_the_letters_of_a_switchs_level() {
        for remark in Root::with(&[LINK, DEVICE]).remarks() {
            assert!(!remark.to_lowercase().contains("warn"), "{remark}");
        }
    }
}
