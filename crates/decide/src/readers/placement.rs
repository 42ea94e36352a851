//! Where each reader VIP belongs: a pure function of what every agent hears alike, so that all come to the same answer.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::fitness::Fitness;
use crate::net::VipId;
use crate::policy::WhenNoReader;

/// Places the VIPs on the members, by each member's own word (`words`) and by who has them now (`holders`): as evenly as can be, and none
/// moves that need not. A VIP that is left out belongs to nobody.
///
/// Who may have one: the secondaries that are ready; where there is none, those that are settling; where there is none either, as
/// `when_none` says. A paused member keeps what it has, and gets no more; and so does each that says it is the primary while two do: in a
/// moment one of them is a secondary, and may have a share.
pub fn place(
    vips: &[VipId],
    words: &BTreeMap<IpAddr, Fitness>,
    holders: &BTreeMap<VipId, IpAddr>,
    when_none: WhenNoReader,
) -> BTreeMap<VipId, IpAddr> {
    let is = |member: &IpAddr, fitness| words.get(member) == Some(&fitness);
    let two_lead = words.values().filter(|word| **word == Fitness::Primary).count() > 1;
    let keeps = |member: &IpAddr| is(member, Fitness::Paused) || (two_lead && is(member, Fitness::Primary));
    let mut placed: BTreeMap<VipId, IpAddr> = BTreeMap::new();
    for vip in vips {
        if let Some(holder) = holders.get(vip).filter(|holder| keeps(holder)) {
            placed.insert(*vip, *holder);
        }
    }
    let mut shares: BTreeMap<IpAddr, Vec<VipId>> =
        candidates(words, when_none).into_iter().map(|member| (member, Vec::new())).collect();
    if shares.is_empty() {
        return placed;
    }
    let free: Vec<VipId> = vips.iter().copied().filter(|vip| !placed.contains_key(vip)).collect();
    for vip in &free {
        if let Some(share) = holders.get(vip).and_then(|holder| shares.get_mut(holder)) {
            share.push(*vip);
        }
    }
    leave_no_more_than_its_share(&mut shares, free.len());
    for vip in &free {
        let share = shares.iter().find(|(_, share)| share.contains(vip)).map(|(member, _)| *member);
        let member = share.or_else(|| least_loaded(&mut shares, *vip));
        placed.extend(member.map(|member| (*vip, member)));
    }
    placed
}

fn candidates(words: &BTreeMap<IpAddr, Fitness>, when_none: WhenNoReader) -> Vec<IpAddr> {
    let all = |wanted: &[Fitness]| -> Vec<IpAddr> {
        words.iter().filter(|(_, word)| wanted.contains(word)).map(|(member, _)| *member).collect()
    };
    let last: &[Fitness] = match when_none {
        WhenNoReader::Primary => &[Fitness::Primary],
        WhenNoReader::Nobody => &[],
        WhenNoReader::AnyOnline => &[Fitness::Primary, Fitness::Behind],
    };
    [&[Fitness::Ready][..], &[Fitness::Settling], last]
        .into_iter()
        .map(all)
        .find(|members| !members.is_empty())
        .unwrap_or_default()
}

/// Each keeps of what it has no more than an even share: those that have the most keep one more where it does not come out even.
fn leave_no_more_than_its_share(shares: &mut BTreeMap<IpAddr, Vec<VipId>>, vips: usize) {
    let (least, one_more) = (vips / shares.len(), vips % shares.len());
    let mut by_load: Vec<IpAddr> = shares.keys().copied().collect();
    by_load.sort_by_key(|member| std::cmp::Reverse(shares.get(member).map_or(0, Vec::len)));
    for (place, member) in by_load.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(&member) {
            share.truncate(if place < one_more { least + 1 } else { least });
        }
    }
}

/// Gives it to the one with the fewest, of several the one with the lowest address.
fn least_loaded(shares: &mut BTreeMap<IpAddr, Vec<VipId>>, vip: VipId) -> Option<IpAddr> {
    let (member, share) = shares.iter_mut().min_by_key(|(_, share)| share.len())?;
    share.push(vip);
    Some(*member)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn member(n: u8) -> IpAddr {
        IpAddr::from([10, 77, 0, n])
    }

    fn words(of: &[(u8, Fitness)]) -> BTreeMap<IpAddr, Fitness> {
        of.iter().map(|(n, word)| (member(*n), *word)).collect()
    }

    fn held(by: &[(u16, u8)]) -> BTreeMap<VipId, IpAddr> {
        by.iter().map(|(vip, n)| (VipId(*vip), member(*n))).collect()
    }

    fn vips(count: u16) -> Vec<VipId> {
        (1..=count).map(VipId).collect()
    }

    const READY: Fitness = Fitness::Ready;

    #[test]
    fn two_vips_go_to_two_secondaries_and_none_to_the_primary() {
        let words = words(&[(11, Fitness::Primary), (12, READY), (13, READY)]);
        let placed = place(&vips(2), &words, &held(&[]), WhenNoReader::Primary);
        assert_eq!(placed, held(&[(1, 12), (2, 13)]));
    }

    #[test]
    fn what_is_even_stays_however_it_came_about() {
        let words = words(&[(11, Fitness::Primary), (12, READY), (13, READY)]);
        let now = held(&[(1, 13), (2, 12)]);
        assert_eq!(place(&vips(2), &words, &now, WhenNoReader::Primary), now);
    }

    #[test]
    fn a_member_that_comes_back_gets_its_share_once_it_is_ready_and_no_other_vip_moves() {
        let now = held(&[(1, 12), (2, 12), (3, 12)]);
        let settling = words(&[(11, Fitness::Primary), (12, READY), (13, Fitness::Settling)]);
        assert_eq!(place(&vips(3), &settling, &now, WhenNoReader::Primary), now);
        let ready = words(&[(11, Fitness::Primary), (12, READY), (13, READY)]);
        let placed = place(&vips(3), &ready, &now, WhenNoReader::Primary);
        assert_eq!(placed, held(&[(1, 12), (2, 12), (3, 13)]));
    }

    #[test]
    fn without_a_fit_secondary_it_is_as_the_operator_says() {
        let words = words(&[(11, Fitness::Primary), (12, Fitness::Behind), (13, Fitness::Unfit)]);
        let at = |when_none| place(&vips(2), &words, &held(&[]), when_none);
        assert_eq!(at(WhenNoReader::Primary), held(&[(1, 11), (2, 11)]));
        assert_eq!(at(WhenNoReader::Nobody), held(&[]));
        assert_eq!(at(WhenNoReader::AnyOnline), held(&[(1, 11), (2, 12)]));
    }

    #[test]
    fn a_settling_secondary_is_better_than_the_primary() {
        let words = words(&[(11, Fitness::Primary), (12, Fitness::Settling)]);
        let placed = place(&vips(1), &words, &held(&[(1, 11)]), WhenNoReader::Primary);
        assert_eq!(placed, held(&[(1, 12)]));
    }

    #[test]
    fn a_new_primarys_vip_waits_for_the_old_primary_to_say_that_it_is_none_and_no_other_moves() {
        let now = held(&[(1, 12), (2, 12), (3, 11)]);
        let two = words(&[(11, Fitness::Primary), (12, READY), (13, Fitness::Primary)]);
        assert_eq!(place(&vips(3), &two, &now, WhenNoReader::Primary), now);
        let one = words(&[(11, Fitness::Primary), (12, READY), (13, READY)]);
        let placed = place(&vips(3), &one, &now, WhenNoReader::Primary);
        assert_eq!(placed, held(&[(1, 12), (2, 12), (3, 13)]));
    }

    #[test]
    fn a_paused_member_keeps_what_it_has_and_gets_no_more() {
        let words = words(&[(11, Fitness::Primary), (12, Fitness::Paused), (13, READY)]);
        let placed = place(&vips(3), &words, &held(&[(2, 12)]), WhenNoReader::Primary);
        assert_eq!(placed, held(&[(1, 13), (2, 12), (3, 13)]));
    }

    /// Every way in which three VIPs can be held by three members or nobody, under every word of each member.
    #[test]
    fn it_is_even_moves_nothing_that_need_not_and_stands_still_once_followed() {
        let holder = [None, Some(11), Some(12), Some(13)];
        for case in 0..(6_usize.pow(3) * 4_usize.pow(3)) {
            let words: BTreeMap<IpAddr, Fitness> = [11, 12, 13]
                .iter()
                .enumerate()
                .map(|(place, n)| (member(*n), Fitness::EACH[case / [1, 6, 36][place] % 6]))
                .collect();
            let held: BTreeMap<VipId, IpAddr> = (0..3_u16)
                .filter_map(|vip| {
                    let by = holder[case / 216 / 4_usize.pow(u32::from(vip)) % 4]?;
                    Some((VipId(vip + 1), member(by)))
                })
                .collect();
            for when_none in [WhenNoReader::Primary, WhenNoReader::Nobody, WhenNoReader::AnyOnline] {
                let placed = place(&vips(3), &words, &held, when_none);
                assert_eq!(place(&vips(3), &words, &placed, when_none), placed, "stands still: {case}");
                let load = |n: &u8| placed.values().filter(|m| **m == member(*n)).count();
                let ready: Vec<u8> =
                    [11, 12, 13].into_iter().filter(|n| words[&member(*n)] == READY).collect();
                if let (Some(most), Some(least)) =
                    (ready.iter().map(load).max(), ready.iter().map(load).min())
                {
                    assert!(most - least <= 1, "even: {case} {placed:?}");
                    let two_lead = words.values().filter(|word| **word == Fitness::Primary).count() > 1;
                    let leads = |n: &IpAddr| two_lead && words[n] == Fitness::Primary;
                    let fit = |n: &IpAddr| [READY, Fitness::Paused].contains(&words[n]) || leads(n);
                    assert!(placed.len() == 3 && placed.values().all(fit), "on the fit: {case} {placed:?}");
                    let moved = held.iter().filter(|(vip, n)| fit(n) && placed[*vip] != **n).count();
                    let had = |n: &u8| held.values().filter(|m| **m == member(*n)).count();
                    let over: usize = ready.iter().map(|n| had(n) - had(n).min(load(n))).sum();
                    assert_eq!(moved, over, "only what is too much moves: {case} {placed:?}");
                }
            }
        }
    }
}
