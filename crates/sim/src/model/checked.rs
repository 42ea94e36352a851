//! Runs the model, and says what came of it.

use core::fmt::{self, Debug};
use core::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Property};

use super::configuration::Configuration;
use super::survivor::Survivors;
use super::transition::{Model, Step};
use super::world::World;
use oracle::{Counts, Invariant};

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
    /// What it is called.
    pub name: &'static str,
    /// How many hosts.
    pub hosts: u8,
    /// How many faults at the most.
    pub faults: u8,
    /// How many messages may be lost or late.
    pub frames: u8,
    /// Different states.
    pub states: usize,
    /// Steps between them.
    pub steps: usize,
    /// The longest shortest way to a state.
    pub depth: usize,
    /// Everything was explored.
    pub complete: bool,
    /// How long it took.
    pub took: Duration,
    /// How often each excuse was needed.
    pub excuses: Counts,
    /// The invariant that was broken, and the way there.
    pub broken: Option<(Invariant, Vec<String>)>,
}

/// Explores a configuration, the shortest ways first, until it is through, an invariant is broken, or so many steps were taken.
pub fn check(configuration: &Configuration, most: Option<usize>) -> Checked {
    let Configuration { name, hosts, faults, frames, .. } = *configuration;
    let model = Model::new(configuration.clone());
    explore(
        model,
        most,
        |world| world.broken,
        Model::excuses,
        Checked { name, hosts, faults, frames, ..nothing_yet() },
    )
}

/// Three configurations of the survivors' side: of a group that expels the dead, of one that never does, and of one whose silent hosts are
/// expelled too.
pub fn check_survivors(most: Option<usize>, plant: impl Fn(&mut Survivors)) -> impl Iterator<Item = Checked> {
    let each = [
        ("the survivors' side", Survivors::new(3, false), 3),
        ("the survivors' side, nobody is expelled", Survivors::new(2, true), 2),
        ("the survivors' side, silent hosts go", Survivors::new(2, false).expelling_silent_hosts(), 2),
    ];
    each.into_iter().map(move |(name, mut model, faults)| {
        plant(&mut model);
        explore(
            model,
            most,
            |world| world.broken,
            |_| Counts::default(),
            Checked { name, hosts: 3, faults, ..nothing_yet() },
        )
    })
}

fn nothing_yet() -> Checked {
    Checked {
        name: "",
        hosts: 0,
        faults: 0,
        frames: 0,
        states: 0,
        steps: 0,
        depth: 0,
        complete: false,
        took: Duration::ZERO,
        excuses: Counts::default(),
        broken: None,
    }
}

fn explore<M>(
    model: M,
    most: Option<usize>,
    invariant_of: impl Fn(&M::State) -> Option<Invariant>,
    excuses_of: impl Fn(&M) -> Counts,
    mut checked: Checked,
) -> Checked
where
    M: stateright::Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + Send + Sync + PartialEq + 'static,
{
    let begun = Instant::now();
    let builder = model.checker().finish_when(HasDiscoveries::Any);
    let builder = match most {
        Some(most) => builder.target_state_count(most),
        None => builder,
    };
    let explored = builder.spawn_bfs().join();
    let broken = explored.discovery("invariants").and_then(|path| {
        let invariant = invariant_of(path.last_state())?;
        let told = path.clone().into_actions().iter().map(|step| format!("{step:?}")).collect();
        Some((invariant, told))
    });
    checked.states = explored.unique_state_count();
    checked.steps = explored.state_count();
    checked.depth = explored.max_depth();
    checked.complete = broken.is_none() && most.is_none_or(|most| checked.steps < most);
    checked.excuses = excuses_of(explored.model());
    checked.took = begun.elapsed();
    checked.broken = broken;
    checked
}

impl fmt::Display for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, hosts, faults, frames, .. } = self;
        write!(
            f,
            "{name:40} {hosts} hosts, faults ≤ {faults}, lost or late ≤ {frames}: {:>9} states, {:>10} steps, depth {:>4}, {:>6.1} s: {}",
            self.states,
            self.steps,
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
