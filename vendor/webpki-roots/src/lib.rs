//! Stands in for the crate of the same name, which carries the public certificate authorities of the web.
//!
//! The mysql crate trusts those beside the file that it is given (`tls_ca`). As host names can't be verified with MySQL's
//! own certificates, anybody's certificate for any domain would then pass. Here nobody is trusted but `tls_ca`.

#![no_std]
#![forbid(unsafe_code)]

use pki_types::{Der, TrustAnchor};

/// One authority without a name and without a key: rustls refuses an empty list, and nothing can be signed by this one.
pub const TLS_SERVER_ROOTS: &[TrustAnchor<'static>] = &[TrustAnchor {
    subject: Der::from_slice(&[]),
    subject_public_key_info: Der::from_slice(&[]),
    name_constraints: None,
}];
