//! The simulator can fail: each mistake that is planted in the rules is caught within so many schedules.
//! `cargo test --workspace --features haipmgr-sim/planted --test planted`
#![cfg(feature = "planted")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use decide::planted::Planted;
use sim::campaign::Campaign;
use sim::fault::{Fault, Who};
use sim::schedule::{Readers, Schedule, Timed};

/// Each but two is caught within a hundredth of this, from seed 0. Those two take minutes from there (docs/proofs.md has the numbers), and
/// are searched for from a seed that is nearer.
const AT_MOST: u64 = 200_000;

/// Each schedule has reader VIPs, as many as its seed says.
const EACH: Option<u8> = Some(0);
/// Each schedule has a VIP on an interface of its own.
const OWN_INTERFACE: bool = true;

macro_rules! is_caught {
    ($($name:ident: $mistake:ident, from $seed:literal, readers $readers:expr $(, own interface $own:expr)?;)*) => {
        $(
            #[test]
            fn $name() {
                let planted = Some(Planted::$mistake);
                let campaign = Campaign { schedules: AT_MOST, seed: $seed, members: None, loss_alone: None, readers: $readers, own_interface: [$($own,)? false][0], failures: 1, planted };
                let findings = campaign.run();
                assert!(!findings.failures.is_empty(), "not caught in {AT_MOST} schedules");
            }
        )*
        #[test]
        fn every_mistake_has_its_test() {
            let tested = [$(Planted::$mistake,)* Planted::ServeBehindClosedSockets];
            assert_eq!(tested, Planted::EACH);
        }
    };
}

is_caught! {
    skipping_the_second_check: SkipSecondCheck, from 0, readers None;
    acquiring_without_probing: AcquireWithoutProbing, from 0, readers None;
    taking_unknown_for_yes: TakeUnknownForYes, from 0, readers None;
    taking_unknown_for_no: TakeUnknownForNo, from 0, readers None;
    dropping_the_majority_rule: DropMajorityRule, from 0, readers None;
    ignoring_newer_views: IgnoreNewerViews, from 0, readers None;
    ignoring_rivals: IgnoreRivals, from 23_000, readers None;
    believing_any_release: BelieveAnyRelease, from 0, readers None;
    claiming_on_after_a_pause: ClaimOnAfterAPause, from 0, readers None;
    giving_up_when_taken: GiveUpWhenTaken, from 0, readers None;
    yielding_to_nobody: YieldToNobody, from 0, readers None;
    answering_a_claim_with_stale_evidence: AnswerClaimWithStaleEvidence, from 0, readers None;
    letting_go_at_the_first_doubt: LetGoWithoutRecheck, from 0, readers None;
    lingering_over_a_new_server: LingerOverANewServer, from 0, readers None;
    keeping_without_a_gateway: KeepWithoutGateway, from 0, readers None;
    patience_without_end: PatienceWithoutEnd, from 0, readers None;
    renewing_without_proof: RenewWithoutProof, from 0, readers None;
    forgetting_to_renew: ForgetToRenew, from 0, readers None;
    a_lease_for_ever: LeaseForEver, from 0, readers None;
    not_forgetting_after_a_pause: DontForgetAfterAPause, from 0, readers None;
    forgetting_to_restore: ForgetRestore, from 0, readers None;
    silence_that_proves_death: SilenceProvesDeath, from 0, readers None;
    expelling_on_the_groups_word_alone: ExpelOnTheGroupsWordAlone, from 0, readers None;
    expelling_while_nobody_is_heard: ExpelWhileNobodyIsHeard, from 0, readers None;
    adding_what_a_renewal_does_not_find: RenewAddsWhatIsGone, from 0, readers None;
    renewing_late: RenewLate, from 0, readers None;
    a_release_word_after_its_limit: ReleaseWordAfterItsLimit, from 0, readers None;
    taking_while_paused: TakeWhilePaused, from 0, readers None;
    yielding_to_nobody_while_paused: YieldToNobodyWhilePaused, from 0, readers None;
    letting_go_while_paused: LetGoWhilePaused, from 0, readers None;
    expelling_while_paused: ExpelWhilePaused, from 0, readers None;
    a_pause_without_end: PauseWithoutEnd, from 9_000, readers None;
    a_primary_that_serves_readers: PrimaryServesReaders, from 0, readers EACH;
    readers_however_far_behind: ReadersFromTheOldest, from 0, readers EACH;
    a_share_taken_at_once: TakeShareAtOnce, from 0, readers EACH;
    claiming_whatever_is_placed: ClaimWhateverIsPlaced, from 0, readers EACH;
    keeping_readers_from_their_place: KeepReadersFromTheirPlace, from 0, readers EACH;
    placing_on_the_silent: PlaceOnTheSilent, from 0, readers EACH;
    taking_from_the_settling: TakeFromTheSettling, from 0, readers EACH;
    serving_readers_cut_off: ServeReadersCutOff, from 0, readers EACH;
    taking_macs_of_another_interface: TakeMacsOfAnotherInterface, from 0, readers None, own interface OWN_INTERFACE;
    claiming_where_the_interface_is_down: ClaimWhereTheInterfaceIsDown, from 0, readers None, own interface OWN_INTERFACE;
    taking_on_the_members_interface: TakeOnTheMembersInterface, from 0, readers None, own interface OWN_INTERFACE;
    never_saying_which_member: NeverSayWhichMember, from 0, readers None, own interface OWN_INTERFACE;
    letting_go_of_all_with_one_interface: LetGoOfAllWithOneInterface, from 0, readers None, own interface OWN_INTERFACE;
}

/// All must have been well for long before a shutdown for it to be judged, which schedules made from seeds seldom are.
#[test]
fn serving_behind_closed_sockets() {
    let (at_ms, who) = (40_000, Who::Reader);
    let schedule = |planted| Schedule {
        readers: Some(Readers { well_for_ms: 1_000, behind_for_ms: 1_000, ..Readers::new(2) }),
        faults: vec![Timed { at_ms, fault: Fault::Shutdown { who, ms: 20_000 } }],
        planted,
        ..Schedule::quiet(1, 3, 65_000)
    };
    assert_eq!(schedule(None).run().broken.len(), 0);
    let broken = schedule(Some(Planted::ServeBehindClosedSockets)).run().broken;
    assert!(!broken.is_empty(), "not caught");
}
