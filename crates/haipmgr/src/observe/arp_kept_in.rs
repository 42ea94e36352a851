//! Whether this host's kernel is told not to answer ARP questions about an address on an interface: then other hosts can see
//! by ICMP echo alone that the address is here.

use std::path::Path;

/// `arp_ignore`: "do not reply for all local addresses" (Linux, ip-sysctl).
const NO_REPLY: u32 = 8;
/// `IFF_NOARP`: there is no ARP on this interface (netdevice(7)).
const NO_ARP: u32 = 0x80;

/// One sentence where nobody is answered, with what to set. None where the kernel answers, or does not tell.
pub fn remark(interface: &str) -> Option<String> {
    remark_under(Path::new("/"), interface)
}

fn remark_under(root: &Path, interface: &str) -> Option<String> {
    let number = |path: &str| {
        let text = std::fs::read_to_string(root.join(path)).ok()?;
        let text = text.trim();
        match text.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    };
    let unheard = "other hosts see by ICMP echo alone that the VIP is here, and may take it too where that is not answered either";
    // The larger of the two counts.
    let setting = ["all", interface].into_iter().find(|of| {
        number(&format!("proc/sys/net/ipv4/conf/{of}/arp_ignore")).is_some_and(|value| value >= NO_REPLY)
    });
    if let Some(of) = setting {
        return Some(format!(
            "net.ipv4.conf.{of}.arp_ignore is {NO_REPLY}: this host answers no ARP question, so {unheard}; set it to 0 (or 1)"
        ));
    }
    let flags = number(&format!("sys/class/net/{interface}/flags"))?;
    (flags & NO_ARP != 0)
        .then(|| format!("{interface} is set to NOARP: {unheard}; type: ip link set {interface} arp on"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_keeps_arp_in_is_named_with_its_setting() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let say = || remark_under(root.path(), "eth0");
        assert_eq!(say(), None, "an unknown kernel");
        write("proc/sys/net/ipv4/conf/all/arp_ignore", "0\n");
        write("proc/sys/net/ipv4/conf/eth0/arp_ignore", "3\n");
        write("sys/class/net/eth0/flags", "0x1003\n");
        assert_eq!(say(), None);
        write("sys/class/net/eth0/flags", "0x1083\n");
        assert!(say().unwrap().contains("NOARP"));
        write("proc/sys/net/ipv4/conf/eth0/arp_ignore", "8\n");
        assert!(say().unwrap().contains("net.ipv4.conf.eth0.arp_ignore is 8"));
        write("proc/sys/net/ipv4/conf/all/arp_ignore", "8\n");
        assert!(say().unwrap().contains("net.ipv4.conf.all.arp_ignore is 8"));
    }
}
