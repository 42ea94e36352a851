//! Who holds each VIP: by its answer on the segment, and on this host by the kernel's own word. Pure.

use std::net::IpAddr;
use std::time::Duration;

use wire::Mac;

use super::picture::{Known, Picture};

/// One that holds a VIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    /// Which member; none: a host that is no member, as far as is known.
    pub(super) member: Option<IpAddr>,
    /// This host.
    pub(super) here: bool,
    /// Its hardware address, where it answered.
    pub(super) mac: Option<Mac>,
    /// The interface that bears it, on this host.
    pub(super) interface: Option<String>,
    /// How long the kernel keeps it, on this host.
    pub(super) lease_left: Option<Duration>,
    /// How old this is.
    pub(super) age: Duration,
}

/// All that hold this VIP. Where it is not known whether somebody else does, why; a VIP on this host is known in any case.
pub(super) fn holders(picture: &Picture, vip: IpAddr) -> Known<Vec<Holder>> {
    let here = here(picture, vip);
    let answers = match &picture.segment {
        Ok(asked) => asked.get(&vip).ok_or_else(|| {
            format!("{vip} was not asked for on the segment: only IPv4 is, from an IPv4 address of this host")
        }),
        Err(why) => Err(why.clone()),
    };
    match (here, answers) {
        (Ok(Some(here)), Err(_)) => Ok(vec![here]),
        (Err(why), Err(_)) | (Ok(None), Err(why)) => Err(why),
        (here, Ok(answers)) => {
            let there = answers.iter().map(|(mac, age)| Holder {
                member: member_at(picture, vip, *mac),
                here: false,
                mac: Some(*mac),
                interface: None,
                lease_left: None,
                age: *age,
            });
            Ok(here.ok().flatten().into_iter().chain(there).collect())
        }
    }
}

/// The VIPs that this member holds; none: not known of some VIP.
pub(super) fn held_by(picture: &Picture, member: IpAddr) -> Option<Vec<IpAddr>> {
    let mut held = Vec::new();
    for vip in &picture.vips {
        // On this host the kernel knows in any case.
        let own = picture.own == Some(member);
        let is_it = match (own, here(picture, *vip)) {
            (true, Ok(here)) => here.is_some(),
            (true, Err(_)) => return None,
            (false, _) => {
                holders(picture, *vip).ok()?.iter().any(|holder| holder.member == Some(member))
                    && picture.segment.is_ok()
            }
        };
        if !own && picture.segment.is_err() {
            return None;
        }
        held.extend(is_it.then_some(*vip));
    }
    Some(held)
}

fn here(picture: &Picture, vip: IpAddr) -> Known<Option<Holder>> {
    let there = picture.kernel.as_ref().map_err(Clone::clone)?;
    Ok(there.iter().find(|own| own.address == vip).map(|own| Holder {
        member: picture.own,
        here: true,
        mac: None,
        interface: Some(own.interface.clone()),
        lease_left: own.lease_left,
        age: own.age,
    }))
}

/// By the answers for the members' own addresses; on an interface that has none, by what each says there, as the agent heard it.
fn member_at(picture: &Picture, vip: IpAddr, mac: Mac) -> Option<IpAddr> {
    let known = picture.status().and_then(|status| status.vips.iter().find(|known| known.address == vip));
    let said = known.and_then(|known| known.hosts.iter().find(|there| there.mac == mac.to_string()));
    if let Some(said) = said {
        return Some(said.member);
    }
    let asked = picture.segment.as_ref().ok()?;
    let members = picture.servers.iter().map(|server| server.address);
    members.filter(|member| asked.get(member).is_some_and(|answers| answers.contains_key(&mac))).min()
}
