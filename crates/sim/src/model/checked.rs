//! Runs the model, and says what came of it.

use core::fmt;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model as _, Property};

use super::configuration::Configuration;
use super::transition::{Model, Step};
use super::world::{Invariant, World};

impl stateright::Model for Model {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        self.steps(world, steps);
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        Some(self.next(world, step))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("invariants", |_, world: &World| world.broken.is_none())]
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Checked {
    /// Which.
    pub configuration: Configuration,
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Different memories of an agent.
    pub memories: usize,
    /// The longest shortest way to a state.
    pub depth: usize,
    /// Everything was explored.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
    /// The invariant that was broken, and the way there.
    pub broken: Option<(Invariant, Vec<String>)>,
}

/// Explores a configuration, the shortest ways first, until it is through, an invariant is broken, or so many steps were taken.
pub fn check(configuration: &Configuration, most: Option<usize>) -> Checked {
    let begun = Instant::now();
    let builder = Model::new(configuration.clone()).checker().finish_when(HasDiscoveries::Any);
    let builder = match most {
        Some(most) => builder.target_state_count(most),
        None => builder,
    };
    let checker = builder.spawn_bfs().join();
    let broken = checker.discovery("invariants").and_then(|path| {
        let invariant = path.last_state().broken?;
        let told = path.clone().into_actions().iter().map(|step| format!("{step:?}")).collect();
        Some((invariant, told))
    });
    let memories = checker.model().memories().count();
    Checked {
        configuration: configuration.clone(),
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        memories,
        depth: checker.max_depth(),
        complete: broken.is_none() && most.is_none_or(|most| checker.state_count() < most),
        took: begun.elapsed(),
        broken,
    }
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Configuration { name, hosts, faults, frames, .. } = &self.configuration;
        write!(
            f,
            "{name:38} {hosts} hosts, faults ≤ {faults}, lost or late ≤ {frames}: {:>9} states, {:>10} steps, {:>6} memories, depth {:>4}, {:>6.1} s: {}",
            self.states,
            self.steps,
            self.memories,
            self.depth,
            self.took.as_secs_f32(),
            match &self.broken {
                Some((invariant, _)) => invariant.name(),
                None if self.complete => "holds",
                None => "holds so far",
            }
        )
    }
}
