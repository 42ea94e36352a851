//! From the server's greeting to its acceptance of the account (MySQL's client/server protocol, "Connection Phase"), by the two
//! methods that accounts have: `caching_sha2_password`, and `mysql_native_password` of older servers.

use std::collections::HashMap;

use mysql_common::collations::CollationId;
use mysql_common::constants::CapabilityFlags;
use mysql_common::crypto::der::parse_pub_key_pkcs8;
use mysql_common::crypto::rsa::{GetRandom, Pkcs1OaepPadding, PublicKey};
use mysql_common::packets::{AuthPlugin, AuthSwitchRequest, HandshakePacket, HandshakeResponse, SslRequest};
use mysql_common::proto::MySerialize;
use tokio_rustls::rustls::pki_types::SubjectPublicKeyInfoDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use super::answer::parsed;
use super::tls::Tls;
use super::wire::{LONGEST_PACKET, Wire};
use super::{Error, Result};

/// As whom.
#[derive(Clone, Copy)]
pub(crate) struct Account<'a> {
    pub(crate) user: &'a str,
    pub(crate) password: &'a str,
    /// What the connection shows beside the program's name and process.
    pub(crate) shows: &'a [(&'static str, String)],
}

/// The protocol since MySQL 3.21.
const PROTOCOL: u8 = 10;
/// The version that knows the character set utf8mb4: whatever a server with Group Replication calls itself, it is later.
const KNOWS_UTF8MB4: (u16, u16, u16) = (5, 5, 3);
/// How long a scramble is.
const SCRAMBLE: usize = 20;

/// First bytes of what the server answers to a password.
const ACCEPTED: u8 = 0x00;
const MORE: u8 = 0x01;
const OTHER_METHOD: u8 = 0xFE;
/// What follows [`MORE`] in `caching_sha2_password`: the password was known; the server wants to see the password itself.
const KNOWN: u8 = 0x03;
const SHOW_PASSWORD: u8 = 0x04;
/// What asks for the server's public key.
const SEND_PUBLIC_KEY: u8 = 0x02;

pub(super) async fn log_in(
    mut wire: Wire,
    account: Account<'_>,
    tls: Option<&Tls>,
) -> Result<(Wire, CapabilityFlags)> {
    // The server does not know yet what this side can do: its error has no state then.
    let greeting = HandshakePacket::into_owned(parsed(wire.receive(CapabilityFlags::empty()).await?)?);
    let offered = greeting.capabilities();
    if greeting.protocol_version() != PROTOCOL || !offered.contains(CapabilityFlags::CLIENT_PROTOCOL_41) {
        return Err(Error::NotUnderstood("a greeting of another protocol".to_owned()));
    }
    let mut wanted = CapabilityFlags::CLIENT_PROTOCOL_41
        | CapabilityFlags::CLIENT_LONG_PASSWORD
        | CapabilityFlags::CLIENT_TRANSACTIONS
        | CapabilityFlags::CLIENT_SECURE_CONNECTION
        | CapabilityFlags::CLIENT_PLUGIN_AUTH
        | CapabilityFlags::CLIENT_CONNECT_ATTRS
        | CapabilityFlags::CLIENT_MULTI_RESULTS
        | CapabilityFlags::CLIENT_PS_MULTI_RESULTS;
    if let Some(tls) = tls {
        if !offered.contains(CapabilityFlags::CLIENT_SSL) {
            return Err(Error::NoTls);
        }
        wanted |= CapabilityFlags::CLIENT_SSL;
        let longest = u32::try_from(LONGEST_PACKET).unwrap_or(u32::MAX);
        let request = SslRequest::new(wanted & offered, longest, CollationId::UTF8MB4_GENERAL_CI as u8);
        wire.send(&bytes_of(&request)).await?;
        wire = wire.encrypt(tls).await?;
    }
    let capabilities = wanted & offered;
    let mut scramble = greeting.nonce();
    scramble.resize(SCRAMBLE, 0);
    // The greeting names the server's default, not the account's method: another one is asked for if need be.
    let method = match greeting.auth_plugin() {
        Some(AuthPlugin::CachingSha2Password) => AuthPlugin::CachingSha2Password,
        _ => AuthPlugin::MysqlNativePassword,
    };
    let proof = method.gen_data(Some(account.password), &scramble);
    let response = HandshakeResponse::new(
        proof.as_deref(),
        KNOWS_UTF8MB4,
        Some(account.user.as_bytes()),
        None::<&[u8]>,
        Some(method.borrow()),
        capabilities,
        offered.contains(CapabilityFlags::CLIENT_CONNECT_ATTRS).then(|| attributes(account.shows)),
        u32::try_from(LONGEST_PACKET).unwrap_or(u32::MAX),
    );
    wire.send(&bytes_of(&response)).await?;
    prove(&mut wire, capabilities, account, method, scramble).await?;
    Ok((wire, capabilities))
}

/// What `performance_schema.session_connect_attrs` shows of the connection.
fn attributes(shows: &[(&'static str, String)]) -> HashMap<String, String> {
    let process = std::process::id().to_string();
    let own = [("program_name", "haipmgr".to_owned()), ("_pid", process)];
    own.iter().chain(shows).map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// Until the server accepts the account, or says why not.
async fn prove(
    wire: &mut Wire,
    capabilities: CapabilityFlags,
    account: Account<'_>,
    mut method: AuthPlugin<'static>,
    mut scramble: Vec<u8>,
) -> Result<()> {
    let mut switched = false;
    loop {
        let packet = wire.receive(capabilities).await?;
        match (packet, &method) {
            ([ACCEPTED, ..], _) => return Ok(()),
            ([MORE, KNOWN, ..], AuthPlugin::CachingSha2Password) => {}
            ([MORE, SHOW_PASSWORD, ..], AuthPlugin::CachingSha2Password) => {
                show_password(wire, capabilities, account, &scramble).await?;
            }
            // One byte alone: the method of MySQL before 4.1.
            ([OTHER_METHOD], _) => return Err(Error::Method("mysql_old_password".to_owned())),
            ([OTHER_METHOD, ..], _) if !switched => {
                switched = true;
                let wanted: AuthSwitchRequest<'_> = parsed(packet)?;
                method = wanted.auth_plugin().into_owned();
                scramble = wanted.plugin_data().to_vec();
                let known =
                    matches!(method, AuthPlugin::CachingSha2Password | AuthPlugin::MysqlNativePassword);
                if !known {
                    return Err(Error::Method(String::from_utf8_lossy(method.as_bytes()).into_owned()));
                }
                let proof = method.gen_data(Some(account.password), &scramble);
                wire.send(proof.as_deref().unwrap_or_default()).await?;
            }
            _ => return Err(Error::NotUnderstood("an answer to a login".to_owned())),
        }
    }
}

/// Where the server has not seen the account's password since it started: as it is where nobody can read it, else encrypted with
/// the server's key.
async fn show_password(
    wire: &mut Wire,
    capabilities: CapabilityFlags,
    account: Account<'_>,
    scramble: &[u8],
) -> Result<()> {
    let mut password = Zeroizing::new([account.password.as_bytes(), &[0]].concat());
    if wire.is_private() {
        return wire.send(&password).await;
    }
    wire.send(&[SEND_PUBLIC_KEY]).await?;
    let [MORE, key @ ..] = wire.receive(capabilities).await? else {
        return Err(Error::NotUnderstood("what should be the server's public key".to_owned()));
    };
    for (byte, with) in password.iter_mut().zip(scramble.iter().cycle()) {
        *byte ^= with;
    }
    let encrypted = encrypted_for(key, &password)?;
    wire.send(&encrypted).await
}

/// For who has the other half of this key, the server: RSA with OAEP (RFC 8017 section 7.1). The library's own `encrypt` does the same, but finds the
/// key in its text by regular expressions, which would be a twentieth of the whole program, and panics where there is none.
fn encrypted_for(key: &[u8], password: &[u8]) -> Result<Vec<u8>> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(key)
        .map_err(|_| Error::NotUnderstood("what should be the server's public key".to_owned()))?;
    let (modulus, exponent) = parse_pub_key_pkcs8(&key);
    Ok(PublicKey::new(modulus, exponent).encrypt_block(password, Pkcs1OaepPadding::new(GetRandom)))
}

fn bytes_of(packet: &impl MySerialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    packet.serialize(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Made for this test with `openssl genrsa 1024`, its public half.
    const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC1+tDSB3L0aP2Jv2/UXh7dADYj
xncCLq0diWAC5FXa+Ash3d2BaCaLVUp3soQ36TEbBZ23hTifQKgjU6khYLW6XD5X
38zUND1eNbUmlZG8M2R1EBGQQTRdh7W40TJDSRxl1gIV2ZFDUowBkcku0eBX3bQI
4lFJTSsKwDyftILe0wIDAQAB
-----END PUBLIC KEY-----
";

    #[test]
    fn a_password_is_encrypted_for_the_servers_key_each_time_otherwise() {
        let once = encrypted_for(KEY.as_bytes(), b"secret\0").unwrap();
        assert_eq!(once.len(), 128, "as long as the key");
        assert_ne!(once, encrypted_for(KEY.as_bytes(), b"secret\0").unwrap());
    }

    #[test]
    fn what_is_no_key_is_told_as_such() {
        for no_key in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no key"] {
            assert!(
                matches!(encrypted_for(no_key.as_bytes(), b"x"), Err(Error::NotUnderstood(_))),
                "{no_key}"
            );
        }
    }
}
