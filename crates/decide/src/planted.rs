//! Mistakes that can be planted in the rules, one at a time, to show that the simulator and the model checker catch each.
//!
//! Only with the feature `planted`. Without it there is no such field, no such type, and `planted!` is the constant `false`.
//! The agent refuses to be built with it.

/// Whether this mistake is planted.
macro_rules! planted {
    ($policy:expr, $mistake:ident) => {{
        #[cfg(feature = "planted")]
        let planted = $policy.planted == Some($crate::planted::Planted::$mistake);
        #[cfg(not(feature = "planted"))]
        let planted = {
            let _: &$crate::policy::GroupPolicy = &$policy;
            false
        };
        planted
    }};
}
pub(crate) use planted;

/// Whether mistakes can be planted in this build. A program that acts on a real host must not be built so.
pub const CAN_BE_PLANTED: bool = cfg!(feature = "planted");

#[cfg(feature = "planted")]
pub use mistakes::Planted;

/// Whether the model's kernels are to add what a renewal does not find: the mistake `RenewAddsWhatIsGone`. No rule can plant
/// this, since a rule never says "add" for a renewal.
pub fn renewal_adds_what_is_gone(policy: &crate::policy::GroupPolicy) -> bool {
    planted!(policy, RenewAddsWhatIsGone)
}

#[cfg(feature = "planted")]
mod mistakes {
    /// A mistake in the rules: what a programmer might forget. `GroupPolicy::planted` plants one.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Planted {
        /// The address is taken on facts that were asked for before the wish arose (S13).
        SkipSecondCheck,
        /// The address is taken without asking the network whether anyone has it.
        AcquireWithoutProbing,
        /// What is not known counts as "yes": the address is taken all the same.
        TakeUnknownForYes,
        /// What is not known counts as "no": the address is let go at once.
        TakeUnknownForNo,
        /// A primary without a majority counts as a primary.
        DropMajorityRule,
        /// A view older than the newest that was seen counts as good.
        IgnoreNewerViews,
        /// A member that probes at the same time is not waited for.
        IgnoreRivals,
        /// A probe from the host that had the address says "it is free", however long ago it was heard, and whatever that
        /// host wants.
        BelieveAnyRelease,
        /// After a pause the claim goes on as if all frames sent meanwhile had been heard.
        ClaimOnAfterAPause,
        /// A claimant that is told "taken" never asks again.
        GiveUpWhenTaken,
        /// A holder settles every dispute for itself.
        YieldToNobody,
        /// A holder answers a claim with what its server said before the claim.
        AnswerClaimWithStaleEvidence,
        /// A holder lets go at the first "no", without asking a second time (S13).
        LetGoWithoutRecheck,
        /// The address of a dead server lingers on although a new server is being started.
        LingerOverANewServer,
        /// A holder never lets go of the address after its gateway is lost.
        KeepWithoutGateway,
        /// A holder whose server never answers is patient without an end.
        PatienceWithoutEnd,
        /// The lease is renewed although nothing more is heard of the server, not even a time-out.
        RenewWithoutProof,
        /// The lease is not renewed while all is well.
        ForgetToRenew,
        /// The address is added without an end.
        LeaseForEver,
        /// An agent that stood still for longer than its lease goes on as if nothing had happened.
        DontForgetAfterAPause,
        /// The expel timeout that was set to 0 is not put back.
        ForgetRestore,
        /// An UNREACHABLE member that is silent counts as proven dead.
        SilenceProvesDeath,
        /// `silent_host`: the group's word that a host is silent is enough, whatever the segment says.
        ExpelOnTheGroupsWordAlone,
        /// `silent_host`: a host counts as silent although no other is heard either.
        ExpelWhileNobodyIsHeard,
        /// A renewal, or "leave it as it is", adds an address that is gone.
        RenewAddsWhatIsGone,
        /// A renewal is carried out however long after it was decided.
        RenewLate,
        /// The word that the VIP is free names its successor however long after the removal.
        ReleaseWordAfterItsLimit,
        /// A paused agent takes the address.
        TakeWhilePaused,
        /// A paused holder yields to nobody.
        YieldToNobodyWhilePaused,
        /// A paused holder lets go as if it were not paused.
        LetGoWhilePaused,
        /// A paused agent has a dead member expelled sooner.
        ExpelWhilePaused,
        /// A pause has no end.
        PauseWithoutEnd,
        /// A primary counts as a secondary that is fit to serve readers.
        PrimaryServesReaders,
        /// A secondary serves readers however far it is behind.
        ReadersFromTheOldest,
        /// A member that comes back takes its share of the reader VIPs at once.
        TakeShareAtOnce,
        /// A reader VIP is claimed wherever it is placed.
        ClaimWhateverIsPlaced,
        /// A reader VIP that is placed elsewhere is not yielded.
        KeepReadersFromTheirPlace,
        /// A member that is heard no more still counts as fit.
        PlaceOnTheSilent,
        /// Where one is ready, the others have to be ready too for what they have.
        TakeFromTheSettling,
        /// A host that is cut off from the others on the segment alone goes on serving readers.
        ServeReadersCutOff,
        /// On an interface that only VIPs are on a member is known by its hardware address on the members' interface.
        TakeMacsOfAnotherInterface,
        /// A VIP is claimed and held on an interface of its own that is missing, down or without an address.
        ClaimWhereTheInterfaceIsDown,
        /// A VIP that has an interface of its own is taken on the members' interface.
        TakeOnTheMembersInterface,
        /// On an interface that only VIPs are on no agent says which member it is.
        NeverSayWhichMember,
        /// An interface that one VIP alone has, and that is of no use, takes the other VIPs with it.
        LetGoOfAllWithOneInterface,
        /// A server that takes no more clients counts as one that serves readers.
        ServeBehindClosedSockets,
    }

    impl Planted {
        /// Each.
        pub const EACH: [Self; 46] = [
            Self::SkipSecondCheck,
            Self::AcquireWithoutProbing,
            Self::TakeUnknownForYes,
            Self::TakeUnknownForNo,
            Self::DropMajorityRule,
            Self::IgnoreNewerViews,
            Self::IgnoreRivals,
            Self::BelieveAnyRelease,
            Self::ClaimOnAfterAPause,
            Self::GiveUpWhenTaken,
            Self::YieldToNobody,
            Self::AnswerClaimWithStaleEvidence,
            Self::LetGoWithoutRecheck,
            Self::LingerOverANewServer,
            Self::KeepWithoutGateway,
            Self::PatienceWithoutEnd,
            Self::RenewWithoutProof,
            Self::ForgetToRenew,
            Self::LeaseForEver,
            Self::DontForgetAfterAPause,
            Self::ForgetRestore,
            Self::SilenceProvesDeath,
            Self::ExpelOnTheGroupsWordAlone,
            Self::ExpelWhileNobodyIsHeard,
            Self::RenewAddsWhatIsGone,
            Self::RenewLate,
            Self::ReleaseWordAfterItsLimit,
            Self::TakeWhilePaused,
            Self::YieldToNobodyWhilePaused,
            Self::LetGoWhilePaused,
            Self::ExpelWhilePaused,
            Self::PauseWithoutEnd,
            Self::PrimaryServesReaders,
            Self::ReadersFromTheOldest,
            Self::TakeShareAtOnce,
            Self::ClaimWhateverIsPlaced,
            Self::KeepReadersFromTheirPlace,
            Self::PlaceOnTheSilent,
            Self::TakeFromTheSettling,
            Self::ServeReadersCutOff,
            Self::TakeMacsOfAnotherInterface,
            Self::ClaimWhereTheInterfaceIsDown,
            Self::TakeOnTheMembersInterface,
            Self::NeverSayWhichMember,
            Self::LetGoOfAllWithOneInterface,
            Self::ServeBehindClosedSockets,
        ];
    }
}
