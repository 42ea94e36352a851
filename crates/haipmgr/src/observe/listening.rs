//! Whether anything listens for clients at the VIP: by the kernel's table of sockets, so that no server is connected to.

use std::net::IpAddr;

use linux::sock_diag::Diag;

/// One sentence where servers listen at this port and none of them at the VIP: its clients are refused there. None where
/// nothing listens at all (the server is down, or has a network of its own), or the kernel does not tell.
pub fn remark(vip: IpAddr, port: u16) -> Option<String> {
    let listeners = Diag::open().and_then(|mut diag| diag.listeners(port)).ok()?;
    refused_at(vip, port, listeners.into_iter().map(|(address, _)| address))
}

fn refused_at(vip: IpAddr, port: u16, listeners: impl Iterator<Item = IpAddr>) -> Option<String> {
    let listeners: Vec<_> = listeners.map(|address| address.to_canonical()).collect();
    let serves = |address: &IpAddr| match address {
        // A server on `::` takes IPv4 connections as well; one that does not is not told apart here.
        IpAddr::V6(address) if address.is_unspecified() => true,
        other => *other == vip || (other.is_unspecified() && vip.is_ipv4()),
    };
    if listeners.is_empty() || listeners.iter().any(serves) {
        return None;
    }
    let mut places: Vec<_> = listeners.iter().map(ToString::to_string).collect();
    places.sort();
    places.dedup();
    Some(format!(
        "mysqld listens at {} only, port {port}: clients of the VIP {vip} are refused on this host; set bind_address to \"*\", or start \
         mysqld with the VIP in it (an address that is not here yet needs net.ipv4.ip_nonlocal_bind)",
        places.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn remark_for(listeners: &[&str]) -> Option<String> {
        let listeners = listeners.iter().map(|address| address.parse().unwrap());
        refused_at([10, 77, 0, 100].into(), 3306, listeners)
    }

    #[test]
    fn a_server_that_does_not_listen_at_the_vip_is_named_with_where_it_listens() {
        for listens in [&["::"][..], &["0.0.0.0"], &["10.77.0.11", "10.77.0.100"], &["::ffff:0.0.0.0"], &[]] {
            assert_eq!(remark_for(listens), None, "{listens:?}");
        }
        let text = remark_for(&["10.77.0.11", "127.0.0.1"]).unwrap();
        assert!(text.contains("10.77.0.11, 127.0.0.1 only") && text.contains("bind_address"), "{text}");
        assert!(remark_for(&["::1"]).is_some());
    }
}
