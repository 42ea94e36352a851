//! The tests that labs share, as a pipe: each byte in it is a test's place in [`TESTS`], and who reads it does that test. The kernel
//! gives a byte to one reader alone, and the pipe is gone with the processes that have it open.

use std::fs::File;
use std::io::{PipeReader, Read as _, Write as _};
use std::os::fd::AsRawFd;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};

use super::{NotRun, TESTS, Test};

const _: () = assert!(TESTS.len() < 256, "a test's place is one byte");

/// The starter's end.
#[derive(Debug)]
pub(super) struct Filled(PipeReader);

/// A lab's end.
#[derive(Debug)]
pub(super) struct Queue(File);

fn failed(what: &str) -> impl FnOnce(std::io::Error) -> NotRun {
    let what = what.to_owned();
    move |cause| NotRun::Queue { what, cause }
}

impl Filled {
    /// A queue of these tests, in this order, which every process started from now on has open as [`Self::descriptor`].
    pub(super) fn with(tests: &[Test]) -> Result<Self, NotRun> {
        let (reader, mut writer) = std::io::pipe().map_err(failed("making a pipe"))?;
        let place = |test: &Test| TESTS.iter().position(|known| known.name == test.name);
        let places: Vec<u8> =
            tests.iter().filter_map(place).filter_map(|place| u8::try_from(place).ok()).collect();
        // Far less than a pipe holds; the writing end is closed here, so that an empty queue ends.
        writer.write_all(&places).map_err(failed("filling the pipe"))?;
        fcntl(&reader, FcntlArg::F_SETFD(FdFlag::empty()))
            .map_err(|cause| failed("leaving the pipe open for the labs")(cause.into()))?;
        Ok(Self(reader))
    }

    /// The number under which a lab finds it open.
    pub(super) fn descriptor(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

impl Queue {
    /// The queue that this process was started with, under that number. What this process starts does not get it.
    pub(super) fn inherited(descriptor: i32) -> Result<Self, NotRun> {
        let path = format!("/proc/self/fd/{descriptor}");
        let pipe =
            File::open(&path).map_err(failed(&format!("opening {path}, which a lab is started with")))?;
        nix::unistd::close(descriptor).map_err(|cause| failed("closing its inherited end")(cause.into()))?;
        Ok(Self(pipe))
    }

    /// The next test; none when all are taken.
    pub(super) fn take(&mut self) -> Result<Option<Test>, NotRun> {
        let mut place = [0];
        let read = self.0.read(&mut place).map_err(failed("taking the next test"))?;
        Ok((read == 1).then(|| TESTS.get(usize::from(place[0])).copied()).flatten())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::fd::IntoRawFd;

    use super::{Filled, Queue, TESTS};

    fn names(tests: &[super::Test]) -> Vec<&'static str> {
        tests.iter().map(|test| test.name).collect()
    }

    /// A lab's end, as a process that was started with it has it.
    fn of_a_lab(filled: &Filled) -> Queue {
        Queue::inherited(filled.0.try_clone().unwrap().into_raw_fd()).unwrap()
    }

    #[test]
    fn each_test_is_taken_once_by_whichever_lab_asks_first() {
        let filled = Filled::with(&TESTS[..3]).unwrap();
        let (mut one, mut two) = (of_a_lab(&filled), of_a_lab(&filled));
        let taken = [one.take(), two.take(), one.take()].map(|test| test.unwrap().unwrap());
        assert_eq!(names(&taken), names(&TESTS[..3]));
        assert!(two.take().unwrap().is_none(), "all are taken");
        assert!(one.take().unwrap().is_none(), "all are taken");
    }
}
