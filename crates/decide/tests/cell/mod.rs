//! One cell of the legacy program's table (S13): what is put in, what the legacy program says comes out, and the playing of it.
#![allow(unreachable_pub)]

use std::time::Duration;

use decide::input::{Event, Fact, Gateway, Seen, Server, Why};

use crate::model_host::{Answers, ModelHost, host, hung, primary, secondary};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Pass,
    Fail,
    Unknown,
}

const EACH: [Stage; 3] = [Stage::Pass, Stage::Fail, Stage::Unknown];

/// One server fact answers stages 2 and 3 together: a server that refuses or hangs can't pass stage 3, so four of
/// the nine combinations cannot be said at all.
const SERVER: [(Stage, Stage); 5] = [
    (Stage::Pass, Stage::Pass),
    (Stage::Pass, Stage::Fail),
    (Stage::Pass, Stage::Unknown),
    (Stage::Fail, Stage::Fail),
    (Stage::Unknown, Stage::Unknown),
];

fn server_fact(stages: (Stage, Stage)) -> Fact<Server> {
    match stages {
        (Stage::Pass, Stage::Pass) => primary(),
        (Stage::Pass, Stage::Fail) => secondary(),
        (Stage::Pass, Stage::Unknown) => Fact::Unknown(Why::WrongPassword("1045".to_owned())),
        (Stage::Fail, _) => Fact::Known(Server::Refused("connection refused".to_owned())),
        (Stage::Unknown, _) => Fact::Unknown(hung()),
    }
}

fn answers(member: Stage, server: (Stage, Stage), gateway: Stage) -> Answers {
    Answers {
        interface: if member == Stage::Fail { "eth1" } else { "eth0" },
        host_known: member != Stage::Unknown,
        server: server_fact(server),
        gateway: match gateway {
            Stage::Pass => Fact::Known(Gateway::Reachable),
            Stage::Fail => Fact::Known(Gateway::Lost { misses: 3 }),
            Stage::Unknown => Fact::Unknown(Why::Other("no socket".to_owned())),
        },
    }
}

fn nothing_known() -> Answers {
    answers(Stage::Unknown, (Stage::Unknown, Stage::Unknown), Stage::Unknown)
}

#[derive(Debug)]
pub struct Cell {
    pub stages: [Stage; 4],
    pub vip_here: bool,
    pub answered: bool,
    pub second: Stage,
}

impl Cell {
    pub fn should_be(&self) -> Stage {
        if self.stages.contains(&Stage::Fail) {
            Stage::Fail
        } else if self.stages.contains(&Stage::Unknown) {
            Stage::Unknown
        } else {
            Stage::Pass
        }
    }

    /// The legacy program's table: what stage 5 returns, and whether the VIP is here afterwards.
    pub fn legacy_says(&self) -> (u8, bool) {
        match (self.should_be(), self.vip_here, self.answered, self.second) {
            // up, no, nothing answers, the second check passes: start it.
            (Stage::Pass, false, false, Stage::Pass) => (2, true),
            // down, yes, still down at the second check: stop it.
            (Stage::Fail, true, _, Stage::Fail) => (0, false),
            // down, yes, and nothing is known at the second check: to the legacy program a server that refuses and one that does not answer
            // are both down.
            (Stage::Fail, true, _, Stage::Unknown) if self.server_was_down() => (0, false),
            // all others, and what the legacy program has no word for (not known): keep.
            (_, here, _, _) => (1, here),
        }
    }

    /// It refused at the first check: what is silent at the second is another one, whose group does not know it. A host that is
    /// no member is in doubt, and asks a second time, before its server has been heard at all.
    pub fn server_was_down(&self) -> bool {
        self.stages[1] == Stage::Fail && self.stages[0] != Stage::Fail
    }

    fn first(&self) -> Answers {
        answers(self.stages[0], (self.stages[1], self.stages[2]), self.stages[3])
    }

    fn second(&self) -> Answers {
        match (self.second, self.should_be()) {
            (Stage::Pass, _) => Answers::all_pass(),
            (Stage::Fail, Stage::Fail) => self.first(),
            (Stage::Fail, _) => Answers { server: secondary(), ..Answers::all_pass() },
            (Stage::Unknown, _) => nothing_known(),
        }
    }

    pub fn play(&self) -> ModelHost {
        let mut model = ModelHost::new(nothing_known(), self.vip_here);
        // The host's addresses are seen once before anything else, or "VIP here" would have no meaning where
        // stage 1 is not known.
        let asked_at = model.now;
        model.tell(Event::Host(Seen { asked_at, fact: Fact::Known(host("eth0", self.vip_here)) }));
        model.first = self.first();
        model.second = Some(self.second());
        model.answering = self.answered.then_some(2);
        // A dead server's address lingers for a minute; what is not known is put up with for half of one.
        let limit = if self.legacy_says().0 == 0 { 100 } else { 20 };
        model.run(Duration::from_secs(limit));
        model
    }
}

pub fn every_cell() -> Vec<Cell> {
    let mut cells = Vec::new();
    for member in EACH {
        for (server, primary) in SERVER {
            for gateway in EACH {
                for vip_here in [true, false] {
                    for answered in [true, false] {
                        for second in EACH {
                            let stages = [member, server, primary, gateway];
                            cells.push(Cell { stages, vip_here, answered, second });
                        }
                    }
                }
            }
        }
    }
    cells
}

/// After "keep", a changed mind of the second check is a new first check: where it says up, and nothing answers,
/// the VIP may rightly start. The legacy program's table ends before that; the rows below are told apart by this.
pub fn second_check_is_a_new_wish(cell: &Cell) -> bool {
    cell.should_be() != Stage::Pass && !cell.vip_here && cell.second == Stage::Pass
}
