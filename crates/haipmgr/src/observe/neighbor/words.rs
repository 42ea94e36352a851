//! Which word on the wire says how fit a host is. Pure. Never to be changed: agents of other versions read it.

use decide::fitness::Fitness;
use wire::Word;

/// The word for it.
pub(super) fn of(fitness: Fitness) -> Word {
    let [ready, settling, behind, primary, paused, unfit] = Word::EACH;
    match fitness {
        Fitness::Ready => ready,
        Fitness::Settling => settling,
        Fitness::Behind => behind,
        Fitness::Primary => primary,
        Fitness::Paused => paused,
        Fitness::Unfit => unfit,
    }
}

/// What it says.
pub(super) fn meant_by(word: Word) -> Option<Fitness> {
    Fitness::EACH.into_iter().find(|fitness| of(*fitness) == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_has_its_number_for_ever_and_is_understood() {
        let numbers = Fitness::EACH.map(|fitness| (fitness.to_string(), of(fitness).number()));
        let expected = [
            ("ready", 0),
            ("settling", 1),
            ("too far behind", 2),
            ("the primary", 3),
            ("paused", 4),
            ("not fit", 5),
        ];
        assert_eq!(numbers, expected.map(|(word, number)| (word.to_owned(), number)));
        for fitness in Fitness::EACH {
            assert_eq!(meant_by(of(fitness)), Some(fitness));
        }
    }
}
