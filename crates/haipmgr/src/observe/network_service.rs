//! Whether a network service looks after an interface, and would remove an address from it that it has not put there itself.
//!
//! systemd-networkd and `NetworkManager` write what they know of each interface to files under `/run`. The formats are their own
//! and may change: what is not understood is taken for "nobody looks after it".

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::foreign_files;

/// Longest file that is read, in bytes: theirs have some hundred.
const LONGEST: u64 = 64 * 1024;
/// So many files of a folder are looked at.
const MOST_FILES: usize = 1_000;
/// Where `NetworkManager`'s configuration is: `NetworkManager.conf(5)`.
const NETWORK_MANAGER: [&str; 4] = [
    "usr/lib/NetworkManager/conf.d",
    "run/NetworkManager/conf.d",
    "etc/NetworkManager/conf.d",
    "etc/NetworkManager/NetworkManager.conf",
];

/// Where systemd-networkd looks for drop-ins; of two of one name the one in the earlier folder counts: systemd.network(5).
const NETWORKD: [&str; 5] = [
    "etc/systemd/network",
    "run/systemd/network",
    "usr/local/lib/systemd/network",
    "usr/lib/systemd/network",
    "lib/systemd/network",
];

/// One sentence for each service that looks after the interface and is not told to leave foreign addresses alone: what it
/// does, and what to write where. None where there is no such interface or no such service. An address that is held under a
/// lease has a lifetime, and needs another setting than one without.
pub fn remarks(interface: &str, leased: bool) -> Vec<String> {
    match nix::net::if_::if_nametoindex(interface) {
        Ok(index) => remarks_under(Path::new("/"), interface, index, leased),
        Err(_) => Vec::new(),
    }
}

fn remarks_under(root: &Path, interface: &str, index: u32, leased: bool) -> Vec<String> {
    [networkd(root, interface, index, leased), network_manager(root, interface, index)]
        .into_iter()
        .flatten()
        .collect()
}

/// systemd.network(5). `KeepConfiguration=` spares addresses that are not the service's own: `yes` all of them, `static`
/// those without a lifetime only. It does not spare the service's own when the carrier goes, and a host without its own
/// address is no member: that takes `IgnoreCarrierLoss=` as well.
fn networkd(root: &Path, interface: &str, index: u32, leased: bool) -> Option<String> {
    let state = read_small(&root.join(format!("run/systemd/netif/links/{index}")))?;
    let value = |key: &str| state.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    if matches!(value("ADMIN_STATE"), None | Some("unmanaged")) {
        return None;
    }
    let file = value("NETWORK_FILE")?;
    let settings = networkd_settings(root, file);
    let setting =
        |section: &str, key: &str| last_value(&settings, section, key).filter(|word| !word.is_empty());
    // CriticalConnection= is what KeepConfiguration=yes was called before version 243. Later versions still obey it.
    let critical =
        || setting("DHCP", "CriticalConnection").or_else(|| setting("DHCPv4", "CriticalConnection"));
    let keeps = setting("Network", "KeepConfiguration").map_or_else(
        || critical().is_some_and(|word| is_yes(&word)),
        |word| is_yes(&word) || (word == "static" && !leased),
    );
    let ignores_carrier = setting("Network", "IgnoreCarrierLoss").map_or_else(
        || setting("Network", "ConfigureWithoutCarrier").is_some_and(|word| is_yes(&word)),
        |word| !is_no(&word),
    );
    let keep = "KeepConfiguration=yes (before version 243: under [DHCP] CriticalConnection=yes)";
    let ignore = "IgnoreCarrierLoss=yes";
    let removes =
        "removes addresses that are not its own when it is restarted and when the file is applied again";
    let cable = "removes this host's own address as soon as the cable is out, and without it this host is not a member";
    let (does, write) = match (keeps, ignores_carrier) {
        (true, true) => return None,
        (false, true) => (removes.to_owned(), keep.to_owned()),
        (true, false) => (cable.to_owned(), ignore.to_owned()),
        (false, false) => (format!("{removes}, and {cable}"), format!("{ignore} and {keep}")),
    };
    Some(format!(
        "systemd-networkd manages {interface} ({file}) and {does}: under [Network] in that file or a drop-in of it write {write}, \
         then run networkctl reload, on the holder of the VIP last"
    ))
}

/// The file and its drop-ins, in the order in which they count. The drop-ins are looked for as the service does it:
/// only new versions (257, not 252) write to `/run` which ones they have found.
fn networkd_settings(root: &Path, file: &str) -> String {
    let folder = Path::new(file).file_name().unwrap_or_default().to_string_lossy().into_owned() + ".d";
    let mut dropins = BTreeMap::new();
    for path in NETWORKD.iter().flat_map(|place| drop_ins(&root.join(place).join(&folder))) {
        let name = path.file_name().unwrap_or_default().to_owned();
        dropins.entry(name).or_insert(path);
    }
    let mut texts = vec![read_small(&under(root, file)).unwrap_or_default()];
    texts.extend(dropins.values().filter_map(|path| read_small(path)));
    // A section ends with its file.
    texts.join("\n[]\n")
}

/// `NetworkManager.conf(5)`: `ignore-carrier` in `[device…]` or `[main]`. Which devices it is for is not worked out: that
/// somebody wrote one is enough. `unmanaged-devices` is read too, for what `/run` says of a device that was managed
/// before stays there until the host is booted; it must name the interface, for many hosts have one for containers' interfaces.
fn network_manager(root: &Path, interface: &str, index: u32) -> Option<String> {
    let state = read_small(&root.join(format!("run/NetworkManager/devices/{index}")))?;
    if !last_value(&state, "device", "managed").is_some_and(|word| is_yes(&word)) {
        return None;
    }
    let named =
        [interface.to_owned(), format!("interface-name:{interface}"), format!("interface-name:={interface}")];
    let files = NETWORK_MANAGER.iter().flat_map(|path| files_at(&root.join(path)));
    let spared = files.filter_map(|file| read_small(&file)).any(|text| {
        text.lines().filter_map(|line| line.split_once('=')).any(|(key, value)| {
            let value = value.trim();
            match key.trim() {
                "ignore-carrier" => !value.is_empty() && !is_no(value),
                "unmanaged-devices" => {
                    value.split([',', ';']).any(|device| named.iter().any(|name| name == device.trim()))
                }
                _ => false,
            }
        })
    });
    if spared {
        return None;
    }
    Some(format!(
        "NetworkManager manages {interface} and removes all its addresses when the cable is out for longer than some seconds: \
         in /etc/NetworkManager/conf.d/haipmgr.conf write [device-haipmgr], match-device=interface-name:{interface}, \
         ignore-carrier=yes, then systemctl reload NetworkManager; whatever is set, it removes addresses that are not its own \
         when the connection is activated or applied again (nmcli connection up, nmcli device reapply): do that only where the VIP is not"
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

fn is_no(word: &str) -> bool {
    matches!(word.to_ascii_lowercase().as_str(), "no" | "false" | "off" | "0" | "n" | "f")
}

fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// The file itself, or the `.conf` files of a folder, in order of their names.
fn files_at(path: &Path) -> Vec<PathBuf> {
    if path.is_dir() { drop_ins(path) } else { vec![path.to_owned()] }
}

/// A folder's drop-ins, by name.
fn drop_ins(folder: &Path) -> Vec<PathBuf> {
    let mut files = foreign_files::files_in(folder, MOST_FILES);
    files.retain(|path| path.extension().is_some_and(|extension| extension == "conf"));
    files
}

fn read_small(path: &Path) -> Option<String> {
    foreign_files::read(path, LONGEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

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
            remarks_under(&self.0, "eth0", 2, true)
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// What systemd-networkd 247 and 252 wrote about an interface, whether its file had drop-ins or not.
    const LINK_247: &str = "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\n\
         CARRIER_STATE=carrier\nADDRESS_STATE=routable\nREQUIRED_FOR_ONLINE=yes\n\
         REQUIRED_OPER_STATE_FOR_ONLINE=degraded\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\nDNS=\nNTP=\nSIP=\n\
         DOMAINS=\nROUTE_DOMAINS=\nLLMNR=yes\nMDNS=no\nADDRESSES=10.77.0.11/24\nROUTES=\n";
    const LINK_252: &str = "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\n\
         CARRIER_STATE=carrier\nADDRESS_STATE=routable\nIPV4_ADDRESS_STATE=routable\nIPV6_ADDRESS_STATE=off\n\
         ONLINE_STATE=online\nREQUIRED_FOR_ONLINE=yes\nREQUIRED_OPER_STATE_FOR_ONLINE=degraded\n\
         REQUIRED_FAMILY_FOR_ONLINE=any\nACTIVATION_POLICY=up\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n\
         DNS=\nNTP=\nSIP=\nDOMAINS=\nROUTE_DOMAINS=\nLLMNR=yes\nMDNS=no\n";
    /// What 257 wrote.
    const LINK_257: &str = "# This is private data. Do not parse.\nADMIN_STATE=configured\nOPER_STATE=routable\n\
         CARRIER_STATE=carrier\nADDRESS_STATE=routable\nIPV4_ADDRESS_STATE=routable\nIPV6_ADDRESS_STATE=off\n\
         ONLINE_STATE=online\nREQUIRED_FOR_ONLINE=yes\nREQUIRED_OPER_STATE_FOR_ONLINE=degraded:routable\n\
         REQUIRED_FAMILY_FOR_ONLINE=any\nACTIVATION_POLICY=up\nNETWORK_FILE=/etc/systemd/network/10-eth0.network\n\
         NETWORK_FILE_DROPINS=\"/etc/systemd/network/10-eth0.network.d/a.conf:/etc/systemd/network/10-eth0.network.d/vip.conf\"\n\
         DNS=\nNTP=\nSIP=\nDOMAINS=\nROUTE_DOMAINS=\nLLMNR=yes\nMDNS=no\n";
    const LINKS: [&str; 3] = [LINK_247, LINK_252, LINK_257];
    /// What they wrote once the file said `[Link]` `Unmanaged=yes`; 247 goes on to name the file.
    const UNMANAGED_LINKS: [&str; 2] = [
        "# This is private data. Do not parse.\nADMIN_STATE=unmanaged\nOPER_STATE=routable\nCARRIER_STATE=carrier\n\
         ADDRESS_STATE=routable\nREQUIRED_FOR_ONLINE=yes\nREQUIRED_OPER_STATE_FOR_ONLINE=degraded\n\
         NETWORK_FILE=/etc/systemd/network/10-eth0.network\nADDRESSES=10.77.0.11/24\nROUTES=\n",
        "# This is private data. Do not parse.\nADMIN_STATE=unmanaged\nOPER_STATE=routable\nCARRIER_STATE=carrier\n\
         ADDRESS_STATE=routable\nIPV4_ADDRESS_STATE=routable\nIPV6_ADDRESS_STATE=off\n",
    ];
    const LINK: (&str, &str) = ("run/systemd/netif/links/2", LINK_252);
    const FILE: &str = "etc/systemd/network/10-eth0.network";
    const PLAIN: (&str, &str) = (
        FILE,
        "[Match]\nName=eth0\n[Network]\nAddress=10.77.0.11/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n",
    );
    const DROPIN: &str = "etc/systemd/network/10-eth0.network.d/vip.conf";
    const ADVISED: &str = "[Network]\nKeepConfiguration=yes\nIgnoreCarrierLoss=yes\n";

    /// What `NetworkManager` 1.30, 1.42 and 1.52 wrote alike.
    const DEVICE: (&str, &str) = (
        "run/NetworkManager/devices/2",
        "[device]\nmanaged=true\nperm-hw-addr-fake=0A:28:61:3C:82:87\n\
         connection-uuid=11111111-2222-3333-4444-555555555555\nnm-owned=false\nroute-metric-default-effective=100\n",
    );
    /// … after `nmcli device set eth0 managed no`, and once `unmanaged-devices` named it.
    const UNMANAGED_DEVICES: [&str; 2] = [
        "[device]\nmanaged=false\nperm-hw-addr-fake=0A:28:61:3C:82:87\nnm-owned=false\n",
        "[device]\nperm-hw-addr-fake=42:B2:30:DC:DD:A4\nnm-owned=false\n",
    ];

    #[test]
    fn where_no_service_looks_after_the_interface_nothing_is_said() {
        assert!(Root::with(&[]).remarks().is_empty());
        assert!(remarks("a-interface-that-is-not-there", true).is_empty());
        for state in UNMANAGED_LINKS.into_iter().chain(["", "\u{0}\u{1}nonsense"]) {
            assert!(Root::with(&[(LINK.0, state), PLAIN]).remarks().is_empty(), "{state}");
        }
        for state in UNMANAGED_DEVICES {
            assert!(Root::with(&[(DEVICE.0, state)]).remarks().is_empty(), "{state}");
        }
    }

    #[test]
    fn systemd_networkd_is_named_with_the_file_and_the_settings_until_they_are_written() {
        for state in LINKS {
            let link = (LINK.0, state);
            let said = Root::with(&[link, PLAIN]).remarks();
            assert_eq!(said.len(), 1, "{state}");
            for word in ["KeepConfiguration=yes", "IgnoreCarrierLoss=yes", "10-eth0.network"] {
                assert!(said[0].contains(word), "{said:?}");
            }
            assert!(Root::with(&[link, (FILE, ADVISED)]).remarks().is_empty(), "{state}");
            let other = ("etc/systemd/network/10-eth0.network.d/a.conf", "[Network]\nLLDP=no\n");
            assert!(Root::with(&[link, PLAIN, other, (DROPIN, ADVISED)]).remarks().is_empty(), "{state}");
        }
    }

    #[test]
    fn only_what_is_missing_is_asked_of_systemd_networkd() {
        for (text, keep, ignore) in [
            ("[Network]\nKeepConfiguration=yes\n", false, true),
            ("[Network]\nKeepConfiguration=true\nIgnoreCarrierLoss=no\n", false, true),
            ("[DHCP]\nCriticalConnection=yes\n", false, true),
            ("[DHCPv4]\nCriticalConnection=yes\n", false, true),
            ("[Network]\nIgnoreCarrierLoss=yes\n", true, false),
            ("[Network]\nIgnoreCarrierLoss=5s\n", true, false),
            ("[Network]\nConfigureWithoutCarrier=yes\n", true, false),
            ("[Network]\nKeepConfiguration=no\n[DHCP]\nCriticalConnection=yes\n", true, true),
            ("[Network]\nKeepConfiguration=dhcp\n", true, true),
            ("[Network]\nKeepConfiguration=dynamic\n", true, true),
            ("[DHCPv4]\nKeepConfiguration=yes\n", true, true),
        ] {
            let said = Root::with(&[LINK, (FILE, text)]).remarks();
            assert_eq!(said.len(), 1, "{text}");
            assert_eq!(said[0].contains("KeepConfiguration"), keep, "{text}: {said:?}");
            assert_eq!(said[0].contains("IgnoreCarrierLoss"), ignore, "{text}: {said:?}");
        }
    }

    #[test]
    fn static_spares_an_address_without_a_lease_only() {
        let text = "[Network]\nKeepConfiguration=static\nIgnoreCarrierLoss=yes\n";
        let root = Root::with(&[LINK, (FILE, text)]);
        assert!(remarks_under(&root.0, "eth0", 2, false).is_empty());
        let said = remarks_under(&root.0, "eth0", 2, true);
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("KeepConfiguration=yes"), "{said:?}");
    }

    #[test]
    fn the_drop_in_that_counts_is_the_one_that_systemd_networkd_takes() {
        let refused = "[Network]\nKeepConfiguration=no\n";
        let vendors = "usr/lib/systemd/network/10-eth0.network.d/vip.conf";
        assert!(Root::with(&[LINK, PLAIN, (vendors, ADVISED)]).remarks().is_empty());
        // One of the same name in /etc takes the place of the vendor's.
        assert_eq!(Root::with(&[LINK, PLAIN, (vendors, ADVISED), (DROPIN, refused)]).remarks().len(), 1);
        // A later name overrides an earlier one, whatever their folders.
        let later = "run/systemd/network/10-eth0.network.d/zz.conf";
        assert_eq!(Root::with(&[LINK, PLAIN, (DROPIN, ADVISED), (later, refused)]).remarks().len(), 1);
        // netplan's file is in /run, and its drop-in in /etc.
        let state = LINK_252.replace("/etc/systemd/network/10-eth0", "/run/systemd/network/10-netplan-eth0");
        let file = ("run/systemd/network/10-netplan-eth0.network", PLAIN.1);
        let dropin = ("etc/systemd/network/10-netplan-eth0.network.d/vip.conf", ADVISED);
        assert_eq!(Root::with(&[(LINK.0, &state), file]).remarks().len(), 1);
        assert!(Root::with(&[(LINK.0, &state), file, dropin]).remarks().is_empty());
        // A file that ends in another section does not lend it to the next.
        let sectionless = "KeepConfiguration=yes\nIgnoreCarrierLoss=yes\n";
        assert_eq!(Root::with(&[LINK, PLAIN, (DROPIN, sectionless)]).remarks().len(), 1);
    }

    #[test]
    fn network_manager_is_named_with_the_setting_until_it_is_written() {
        let said = Root::with(&[DEVICE]).remarks();
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains("match-device=interface-name:eth0") && said[0].contains("ignore-carrier"),
            "{said:?}"
        );
        let file = "etc/NetworkManager/conf.d/haipmgr.conf";
        for text in [
            "[device-haipmgr]\nmatch-device=interface-name:eth0\nignore-carrier=yes\n",
            "[device-haipmgr]\nignore-carrier = yes\n",
            "[main]\nignore-carrier=*\n",
            // After a restart the device is unmanaged, and its file still says that it is managed.
            "[keyfile]\nunmanaged-devices=interface-name:eth0\n",
            "[keyfile]\nunmanaged-devices = interface-name:docker*;interface-name:eth0\n",
        ] {
            assert!(Root::with(&[DEVICE, (file, text)]).remarks().is_empty(), "{text}");
        }
        for text in [
            "[device-haipmgr]\nignore-carrier=no\n",
            "[main]\nplugins=keyfile\n",
            "[keyfile]\nunmanaged-devices=interface-name:eth01\n",
        ] {
            assert_eq!(Root::with(&[DEVICE, (file, text)]).remarks().len(), 1, "{text}");
        }
    }

    /// `NetworkManager` 1.30 to 1.52 took all addresses off an interface that `unmanaged-devices` named at a reload.
    #[test]
    fn nobody_is_sent_to_unmanaged_devices_by_a_line_in_the_log() {
        assert!(!Root::with(&[DEVICE]).remarks()[0].contains("unmanaged-devices"));
    }

    #[test]
    fn no_remark_bears_the_letters_of_a_switchs_level() {
        for remark in Root::with(&[LINK, PLAIN, DEVICE]).remarks() {
            assert!(!remark.to_lowercase().contains("warn"), "{remark}");
        }
    }
}
