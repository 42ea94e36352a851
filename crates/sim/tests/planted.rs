//! The simulator can fail: each mistake that is planted in the rules is caught within so many schedules.
//! `cargo test --release -p haipmgr-sim --features planted --test planted`
#![cfg(feature = "planted")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use decide::planted::Planted;
use sim::campaign::Campaign;

/// Each is caught within an eighth of this.
const AT_MOST: u64 = 200_000;

macro_rules! is_caught {
    ($($name:ident: $mistake:ident;)*) => {
        $(
            #[test]
            fn $name() {
                let planted = Some(Planted::$mistake);
                let campaign = Campaign { schedules: AT_MOST, seed: 0, members: None, loss_alone: None, failures: 1, planted };
                let findings = campaign.run();
                assert!(!findings.failures.is_empty(), "not caught in {AT_MOST} schedules");
            }
        )*
        #[test]
        fn every_mistake_has_its_test() {
            let tested = [$(Planted::$mistake),*];
            assert_eq!(tested, Planted::EACH);
        }
    };
}

is_caught! {
    skipping_the_second_check: SkipSecondCheck;
    acquiring_without_probing: AcquireWithoutProbing;
    taking_unknown_for_yes: TakeUnknownForYes;
    taking_unknown_for_no: TakeUnknownForNo;
    dropping_the_majority_rule: DropMajorityRule;
    ignoring_newer_views: IgnoreNewerViews;
    ignoring_rivals: IgnoreRivals;
    believing_any_release: BelieveAnyRelease;
    claiming_on_after_a_pause: ClaimOnAfterAPause;
    giving_up_when_taken: GiveUpWhenTaken;
    yielding_to_nobody: YieldToNobody;
    answering_a_claim_with_stale_evidence: AnswerClaimWithStaleEvidence;
    letting_go_at_the_first_doubt: LetGoAtFirstDoubt;
    lingering_over_a_new_server: LingerOverANewServer;
    keeping_without_a_gateway: KeepWithoutGateway;
    patience_without_end: PatienceWithoutEnd;
    renewing_without_proof: RenewWithoutProof;
    forgetting_to_renew: ForgetToRenew;
    a_lease_for_ever: LeaseForEver;
    not_forgetting_after_a_pause: DontForgetAfterAPause;
    forgetting_to_restore: ForgetRestore;
    silence_that_proves_death: SilenceProvesDeath;
}
