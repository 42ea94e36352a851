//! How a fully static program finds the addresses of hosts' names: in /etc/hosts and by DNS, which its own C library knows.
//!
//! /etc/nsswitch.conf may name more (`myhostname`, `resolve`, `mdns4_minimal`), each a module that glibc loads. A static program has another
//! glibc than the module, and may not survive that (seen on Debian 13): so it loads none.
#![cfg_attr(all(target_env = "gnu", target_feature = "crt-static"), allow(unsafe_code))]

/// From here on names are looked for in /etc/hosts and by DNS alone, whatever nsswitch.conf says. Does nothing in a program that is not
/// static: it loads the modules of its own glibc. To be called before there is a second thread.
pub fn by_files_and_dns() {
    #[cfg(all(target_env = "gnu", target_feature = "crt-static"))]
    {
        use std::ffi::{c_char, c_int};

        // <nss.h>. Crate libc does not have it.
        unsafe extern "C" {
            fn __nss_configure_lookup(database: *const c_char, services: *const c_char) -> c_int;
        }
        // SAFETY: both are texts that end with a zero byte and live for ever; glibc copies what it keeps. It takes glibc's own lock.
        let _in_want_of_memory = unsafe { __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use std::net::ToSocketAddrs as _;

    #[test]
    fn a_name_in_etc_hosts_is_found() {
        super::by_files_and_dns();
        assert!(
            ("localhost", 0).to_socket_addrs().is_ok_and(|mut all| all.all(|one| one.ip().is_loopback()))
        );
    }
}
