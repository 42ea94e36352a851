//! The small configurations of the model, whole; the large ones are `cargo run --release -p haipmgr-sim --bin model`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use sim::model::{Configuration, check};

fn explore(name: &str) {
    let configuration =
        Configuration::EACH.iter().find(|known| known.name == name).expect("such a configuration");
    let checked = check(configuration, None);
    println!("{checked}");
    if let Some((invariant, way)) = &checked.broken {
        panic!("{} is broken:\n  {}", invariant.name(), way.join("\n  "));
    }
    assert!(checked.complete);
}

#[test]
fn three_hosts_of_which_one_dies_in_every_order_keep_the_invariants() {
    explore("deaths");
}

#[test]
fn a_lying_old_primary_in_every_order_breaks_no_invariant() {
    explore("a lying old primary");
}

#[test]
fn an_agent_that_is_told_to_stop_in_any_state_breaks_no_invariant() {
    explore("an agent that stands still is told to stop");
}

#[test]
fn a_vip_on_an_interface_of_its_own_breaks_no_invariant() {
    explore("an interface of its own");
}

/// These are mistakes there alone.
#[cfg(feature = "planted")]
#[test]
fn a_mistake_about_an_interface_of_its_own_is_caught() {
    use decide::planted::Planted;

    let own = |known: &&Configuration| known.own_interface;
    let configuration = Configuration::EACH.iter().find(own).expect("such a configuration");
    let caught = [
        Planted::TakeMacsOfAnotherInterface,
        Planted::ClaimWhereTheInterfaceIsDown,
        Planted::TakeOnTheMembersInterface,
        Planted::NeverSayWhichMember,
    ]
    .map(|mistake| {
        let checked = check(&Configuration { planted: Some(mistake), ..configuration.clone() }, None);
        println!("{mistake:?}: {checked}");
        checked.broken.is_some()
    });
    assert_eq!(caught, [true; 4]);
}

#[cfg(feature = "planted")]
#[test]
fn a_mistake_planted_in_the_rules_is_caught() {
    use decide::planted::Planted;
    use oracle::Invariant;
    use sim::model::planted::catch;

    for (mistake, invariant) in [
        (Planted::AcquireWithoutProbing, Invariant::Evidence),
        (Planted::IgnoreNewerViews, Invariant::NewestView),
        (Planted::LeaseForEver, Invariant::Lease),
        (Planted::RenewAddsWhatIsGone, Invariant::Lease),
    ] {
        let caught = catch(mistake).expect("caught");
        println!("{mistake:?}: {caught}");
        assert_eq!(caught.invariant, invariant, "{mistake:?}");
    }
}
