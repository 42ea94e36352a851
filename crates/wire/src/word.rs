//! A word that a host adds to a question: a small number, where RFC 826 and RFC 4861 leave room for one.

use crate::Mac;

/// What stands before the number: a locally administered address that no interface has (`HAIP`).
const MARK: [u8; 5] = [0x02, 0x48, 0x41, 0x49, 0x50];

/// The number of a word: 0–5, or from 16 on. What it means is no business of the wire. Those between are of no version yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word(u8);

impl Word {
    /// Each of the first six, by its number.
    pub const EACH: [Self; 6] = [Self(0), Self(1), Self(2), Self(3), Self(4), Self(5)];
    /// The second row of numbers begins here: versions that know only the first six read them as plain questions.
    pub const SECOND_ROW: u8 = 16;

    /// The word with this number; none: there is no such word.
    pub fn new(number: u8) -> Option<Self> {
        let known = usize::from(number) < Self::EACH.len() || number >= Self::SECOND_ROW;
        known.then_some(Self(number))
    }

    /// The word for this place in a list that both sides have in the same order, from 0; none: there is no number for it.
    pub fn of_place(place: usize) -> Option<Self> {
        u8::try_from(place).ok()?.checked_add(Self::SECOND_ROW).map(Self)
    }

    /// The place that it stands for.
    pub fn place(self) -> Option<usize> {
        self.0.checked_sub(Self::SECOND_ROW).map(usize::from)
    }

    /// Its number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// The six bytes in which it is sent.
    pub(crate) fn mark(self) -> Mac {
        let mut bytes = [0; 6];
        if let Some((number, mark)) = bytes.split_last_mut() {
            mark.copy_from_slice(&MARK);
            *number = self.0;
        }
        Mac(bytes)
    }

    /// The word that these six bytes are; none: they are none, or one that this version does not know.
    pub(crate) fn of_mark(mark: Mac) -> Option<Self> {
        let (number, mark) = mark.0.split_last()?;
        if *mark == MARK { Self::new(*number) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_its_word_and_what_is_not_known_is_none() {
        for number in 0..=u8::MAX {
            let mark = Mac([0x02, 0x48, 0x41, 0x49, 0x50, number]);
            let word = Word::of_mark(mark);
            assert_eq!(word.map(Word::number), (number <= 5 || number >= 16).then_some(number));
            assert!(word.is_none_or(|word| word.mark() == mark));
        }
        assert_eq!(Word::of_mark(Mac([2, 0, 0, 0, 0, 1])), None, "some interface's");
        assert!(Word::EACH.iter().all(|word| word.place().is_none()));
        for place in 0..240 {
            assert_eq!(Word::of_place(place).and_then(Word::place), Some(place));
        }
        assert_eq!(
            [0, 239, 240].map(|place| Word::of_place(place).map(Word::number)),
            [Some(16), Some(255), None]
        );
        assert_eq!(Word::of_mark(Mac::UNKNOWN), None);
    }
}
