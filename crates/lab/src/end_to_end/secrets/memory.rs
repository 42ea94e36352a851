//! What stands in a process's memory, by `/proc/PID/mem`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;

use super::forms::times_in;
use crate::end_to_end::Broken;
use crate::end_to_end::expect::promise;

/// Read at once.
const PIECE: u64 = 1 << 20;
/// An agent that has less memory than this was not read, but something else.
const AT_LEAST: u64 = 1 << 20;

/// How often the text stands in all that the process can read of its own memory. It goes on meanwhile.
///
/// # Errors
/// Its memory can't be read.
pub(super) fn copies_of(text: &str, pid: u32) -> Result<usize, Broken> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps"))
        .map_err(Broken::io(format!("reading /proc/{pid}/maps")))?;
    let memory = File::open(format!("/proc/{pid}/mem"))
        .map_err(Broken::io(format!("opening /proc/{pid}/mem, which takes root")))?;
    let overlap = text.len() as u64 - 1;
    let (mut copies, mut read) = (0, 0);
    for (from, to) in maps.lines().filter_map(readable) {
        let mut at = from;
        while at < to {
            let length = PIECE.min(to - at);
            let mut piece = vec![0; usize::try_from(length).unwrap_or_default()];
            // What was unmapped meanwhile, and what the kernel keeps for itself, can't be read.
            let Ok(got) = memory.read_at(&mut piece, at) else { break };
            read += got as u64;
            copies += times_in(&piece[..got], text.as_bytes());
            if at + length >= to || (got as u64) <= overlap {
                break;
            }
            at += got as u64 - overlap;
        }
    }
    promise(read >= AT_LEAST, || format!("only {read} bytes of the memory of process {pid} could be read"))?;
    Ok(copies)
}

/// Where a line of `/proc/PID/maps` (proc(5)) begins and ends, if the process itself can read there.
fn readable(line: &str) -> Option<(u64, u64)> {
    let mut words = line.split_whitespace();
    let (from, to) = words.next()?.split_once('-')?;
    let may_read = words.next()?.starts_with('r');
    let number = |text| u64::from_str_radix(text, 16).ok();
    if may_read { Some((number(from)?, number(to)?)) } else { None }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_copy_in_this_process_is_counted_and_a_wiped_one_is_not() {
        // Made at run time, lest the program's own text hold it.
        let wanted: String = ["Found-in", "-memory-", "4711"].concat();
        let mut copy = wanted.clone().into_bytes();
        let with = copies_of(&wanted, std::process::id()).unwrap();
        copy.fill(b'-');
        let without = copies_of(&wanted, std::process::id()).unwrap();
        assert!(with > without, "{with} with the copy, {without} without");
        assert!(copy.iter().all(|byte| *byte == b'-'));
    }

    #[test]
    fn only_what_the_process_can_read_is_read() {
        assert_eq!(readable("7f00-7f10 r-xp 00000000 08:01 1 /bin/true"), Some((0x7f00, 0x7f10)));
        assert_eq!(readable("7f00-7f10 ---p 00000000 00:00 0"), None);
    }
}
