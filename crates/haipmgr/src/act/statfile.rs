//! statfile
