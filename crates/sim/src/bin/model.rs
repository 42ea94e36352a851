//! Explores every configuration of the model, and prints what was found.
//!
//! ```text
//! model                 all of it
//! model small           all but the largest configurations
//! model WORD…           configurations whose name has one of these words
//! model planted [NAME…] which configuration catches each planted mistake; built with the feature `planted`
//! ```

use std::process::ExitCode;

use sim::model::{Configuration, check, check_survivors};

/// Two million states and more each, two thirds of all. What may happen in them may happen in a smaller one too, if not so often or
/// not together: without them every kind of fault and every invariant is still looked at. `./prove` explores them.
const LARGE: &[&str] = &[
    "a server started anew, agents pause",
    "two shutdowns",
    "a lying old primary, late or lost",
    "a lying old primary, agents pause",
    "switchovers, led by the last",
    "cut off, no gateway, agents pause",
    "a switchover, twice late or lost",
    "agents pause in a switchover",
    "a switchover with a backlog, agents pause and end",
    "the operator pauses agents, deaths",
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(feature = "planted")]
    if words.first().is_some_and(|word| word == "planted") {
        return planted(&words[1..]);
    }
    let small = words.first().is_some_and(|word| word == "small");
    let wanted = |name: &str| {
        if small {
            !LARGE.contains(&name)
        } else {
            words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
        }
    };
    let (mut states, mut seconds, mut holds, mut excuses) = (0, 0.0, true, oracle::Counts::default());
    let chosen = Configuration::EACH.iter().filter(|configuration| wanted(configuration.name));
    let survivors = wanted("the survivors' side").then(|| check_survivors(None, |_| {}));
    for checked in chosen.map(|chosen| check(chosen, None)).chain(survivors.into_iter().flatten()) {
        println!("{checked}");
        states += checked.states;
        excuses.add(&checked.excuses);
        seconds += checked.took.as_secs_f32();
        if let Some((invariant, way)) = &checked.broken {
            holds = false;
            println!("{} is broken:\n  {}", invariant.name(), way.join("\n  "));
        }
    }
    println!("{states} states in {seconds:.0} s; {excuses}");
    if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// For each mistake the first configuration that catches it, each explored so far.
#[cfg(feature = "planted")]
fn planted(words: &[String]) -> ExitCode {
    use sim::model::planted::catch;

    let mut all = true;
    for mistake in decide::planted::Planted::EACH {
        let name = format!("{mistake:?}");
        if !words.is_empty() && !words.contains(&name) {
            continue;
        }
        match catch(mistake) {
            Ok(caught) => println!("{name:30} {caught}"),
            Err(states) => {
                all = false;
                println!("{name:30} NOT CAUGHT in {states} states");
            }
        }
    }
    if all { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sim::model::Configuration;

    use super::LARGE;

    #[test]
    fn without_the_large_configurations_every_kind_of_fault_is_still_there() {
        let kinds = |large: bool| -> BTreeSet<String> {
            let each = Configuration::EACH.iter().filter(|one| large || !LARGE.contains(&one.name));
            each.flat_map(|one| one.kinds.iter().map(|kind| format!("{kind:?}"))).collect()
        };
        assert_eq!(kinds(false), kinds(true));
        assert!(LARGE.iter().all(|name| Configuration::EACH.iter().any(|one| one.name == *name)));
    }
}
