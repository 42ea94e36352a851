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
/// `when_none` says. Beside one that is ready a settling member keeps its even share of what it has, and gets no more: it serves already,
/// and would soon have it back. A paused member keeps all that it has, and gets no more; and so does each that says it is the primary while
/// two do: in a moment one of them is a secondary, and may have a share.
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
    let candidates = candidates(words, when_none);
    if candidates.is_empty() {
        return placed;
    }
    placed.extend(kept_while_settling(vips, words, holders, &placed));
    let free: Vec<VipId> = vips.iter().copied().filter(|vip| !placed.contains_key(vip)).collect();
    let mut shares: BTreeMap<IpAddr, Vec<VipId>> =
        candidates.into_iter().map(|member| (member, Vec::new())).collect();
    for vip in &free {
        if let Some(share) = holders.get(vip).and_then(|holder| shares.get_mut(holder)) {
            share.push(*vip);
        }
    }
    let among = shares.len();
    leave_no_more_than_its_share(&mut shares, free.len(), among);
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

/// What the settling members keep of what they have, where others are ready; `placed`: what is settled already. Where none is ready they are
/// those among whom it is shared anyway.
fn kept_while_settling(
    vips: &[VipId],
    words: &BTreeMap<IpAddr, Fitness>,
    holders: &BTreeMap<VipId, IpAddr>,
    placed: &BTreeMap<VipId, IpAddr>,
) -> Vec<(VipId, IpAddr)> {
    let ready = words.values().filter(|word| **word == Fitness::Ready).count();
    if ready == 0 {
        return Vec::new();
    }
    let settling = |member: &&IpAddr| words.get(*member) == Some(&Fitness::Settling);
    let free = || vips.iter().filter(|vip| !placed.contains_key(vip));
    let mut shares: BTreeMap<IpAddr, Vec<VipId>> = BTreeMap::new();
    for vip in free() {
        if let Some(holder) = holders.get(vip).filter(settling) {
            shares.entry(*holder).or_default().push(*vip);
        }
    }
    let among = ready + shares.len();
    leave_no_more_than_its_share(&mut shares, free().count(), among);
    shares.into_iter().flat_map(|(member, share)| share.into_iter().map(move |vip| (vip, member))).collect()
}

/// Each keeps of what it has no more than an even share of so many VIPs among so many members: those that have the most keep one more where
/// it does not come out even.
fn leave_no_more_than_its_share(shares: &mut BTreeMap<IpAddr, Vec<VipId>>, vips: usize, among: usize) {
    let (least, one_more) = (vips / among, vips % among);
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
    fn members_that_come_up_together_share_and_nothing_moves_as_one_after_the_other_becomes_ready() {
        let settling = Fitness::Settling;
        let both = words(&[(11, Fitness::Primary), (12, settling), (13, settling)]);
        let now = place(&vips(3), &both, &held(&[]), WhenNoReader::Primary);
        assert_eq!(now, held(&[(1, 12), (2, 13), (3, 12)]));
        for one in [[READY, settling], [settling, READY], [READY, READY]] {
            let words = words(&[(11, Fitness::Primary), (12, one[0]), (13, one[1])]);
            assert_eq!(place(&vips(3), &words, &now, WhenNoReader::Primary), now, "{one:?}");
        }
    }

    #[test]
    fn a_settling_member_keeps_its_share_of_what_it_has_and_gets_nothing_that_it_has_not() {
        let words = words(&[(11, READY), (12, Fitness::Settling), (13, Fitness::Settling)]);
        let placed = place(&vips(4), &words, &held(&[(1, 12), (2, 12), (3, 12)]), WhenNoReader::Primary);
        assert_eq!(placed, held(&[(1, 12), (2, 12), (3, 11), (4, 11)]));
        let placed = place(&vips(4), &words, &held(&[(1, 12)]), WhenNoReader::Primary);
        assert_eq!(placed, held(&[(1, 12), (2, 11), (3, 11), (4, 11)]));
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
                if ready.is_empty() {
                    continue;
                }
                let had = |n: &u8| held.values().filter(|m| **m == member(*n)).count();
                let (most, least) = (ready.iter().map(load).max(), ready.iter().map(load).min());
                assert!(most <= least.map(|least| least + 1), "even: {case} {placed:?}");
                let two_lead = words.values().filter(|word| **word == Fitness::Primary).count() > 1;
                let keeps =
                    |n: &IpAddr| words[n] == Fitness::Paused || (two_lead && words[n] == Fitness::Primary);
                let stays = |vip: &VipId, n: &IpAddr| held.get(vip) == Some(n);
                let settling = |n: &IpAddr| words[n] == Fitness::Settling;
                assert!(
                    placed.len() == 3
                        && placed.iter().all(|(vip, n)| {
                            words[n] == READY || (stays(vip, n) && (keeps(n) || settling(n)))
                        }),
                    "on the ready, or where it is and may be: {case} {placed:?}"
                );
                let serve: Vec<u8> = [11, 12, 13]
                    .into_iter()
                    .filter(|n| ready.contains(n) || (settling(&member(*n)) && had(n) > 0))
                    .collect();
                let shared = 3 - held.values().filter(|n| keeps(n)).count();
                for n in serve.iter().filter(|n| !ready.contains(n)) {
                    let (share, over) = (shared / serve.len(), shared % serve.len());
                    let kept = load(n) == had(n).min(share) || load(n) == had(n).min(share + over.min(1));
                    assert!(kept, "the settling keep their share: {case} {placed:?}");
                }
                let may_stay = |n: &IpAddr| words[n] == READY || keeps(n) || settling(n);
                let moved = held.iter().filter(|(vip, n)| may_stay(n) && placed[*vip] != **n).count();
                let over: usize = serve.iter().map(|n| had(n) - had(n).min(load(n))).sum();
                assert_eq!(moved, over, "only what is too much moves: {case} {placed:?}");
                let spread = |n: &u8| load(n) < had(n) && ready.iter().any(|to| load(n) + 1 < load(to));
                assert!(!serve.iter().any(spread), "none goes where there are more: {case} {placed:?}");
            }
        }
    }
}
