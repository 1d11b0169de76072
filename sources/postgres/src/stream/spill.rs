//! A log of bytes that is kept in memory and moved to a file when memory is short.
//!
//! ```text
//! 0 ........ spilled ................................ len
//! | file            | segments of SEGMENT_BYTES, in memory |
//! ```
//!
//! The file has no name any more once it is open, so nothing is left of it whatever ends the process.

use std::{
    fs::File,
    io::{self, Write},
    os::unix::fs::FileExt,
    path::Path,
};

/// Memory is taken in pieces of this size, so that growing copies little and what is held is known.
const SEGMENT_BYTES: usize = 64 * 1024;

/// The first piece begins with this and doubles: most logs of subtransactions stay empty.
const FIRST_BYTES: usize = 1024;

#[derive(Default)]
pub(super) struct Log {
    file: Option<File>,
    /// How much of it is in the file.
    spilled: u64,
    /// What follows. All but the last are full.
    segments: Vec<Vec<u8>>,
}

impl Log {
    pub(super) fn len(&self) -> u64 {
        let tail = self.segments.last().map_or(0, Vec::len);
        self.spilled + (self.full_segments() * SEGMENT_BYTES + tail) as u64
    }

    fn full_segments(&self) -> usize {
        self.segments.len().saturating_sub(1)
    }

    /// Bytes of memory that it takes.
    pub(super) fn held(&self) -> usize {
        self.full_segments() * SEGMENT_BYTES + self.segments.last().map_or(0, Vec::capacity)
    }

    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let segment = match self.segments.last_mut() {
                Some(segment) if segment.len() < SEGMENT_BYTES => segment,
                _ => {
                    let first = self.segments.is_empty();
                    let size = if first { FIRST_BYTES } else { SEGMENT_BYTES };
                    self.segments.push(Vec::with_capacity(size));
                    continue;
                }
            };
            let (now, later) = bytes.split_at(bytes.len().min(SEGMENT_BYTES - segment.len()));
            let wanted = segment.len() + now.len();
            if wanted > segment.capacity() {
                let size = wanted.max(segment.capacity() * 2).min(SEGMENT_BYTES);
                segment.reserve_exact(size - segment.len());
            }
            segment.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Forgets all from `length` on.
    pub(super) fn truncate(&mut self, length: u64) -> io::Result<()> {
        if length >= self.len() {
            return Ok(());
        }
        match length.checked_sub(self.spilled) {
            None => {
                self.segments.clear();
                self.spilled = length;
                if let Some(file) = &self.file {
                    file.set_len(length)?;
                }
            }
            Some(kept) => {
                // Shorter than what is in memory, as the length is.
                let kept = kept as usize;
                self.segments.truncate(kept.div_ceil(SEGMENT_BYTES));
                if let Some(last) = self.segments.last_mut()
                    && !kept.is_multiple_of(SEGMENT_BYTES)
                {
                    last.truncate(kept % SEGMENT_BYTES);
                }
            }
        }
        Ok(())
    }

    /// Moves what is in memory to a file in `directory`.
    pub(super) fn spill(&mut self, directory: &Path) -> io::Result<()> {
        if self.segments.is_empty() {
            return Ok(());
        }
        let length = self.len();
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(tempfile::tempfile_in(directory)?),
        };
        // After a truncation the end of the file is elsewhere than where it was written last.
        io::Seek::seek(file, io::SeekFrom::Start(self.spilled))?;
        for segment in &self.segments {
            file.write_all(segment)?;
        }
        self.segments = Vec::new();
        self.spilled = length;
        Ok(())
    }

    /// Reads into `out` what lies from `at` on; returns how much that was: zero at the end only.
    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        if let Some(rest) = self.spilled.checked_sub(at)
            && rest > 0
        {
            let wanted = usize::try_from(rest).unwrap_or(usize::MAX).min(out.len());
            let Some(file) = &self.file else { return Ok(0) };
            file.read_exact_at(&mut out[..wanted], at)?;
            return Ok(wanted);
        }
        let place = (at - self.spilled) as usize;
        let Some(rest) =
            self.segments.get(place / SEGMENT_BYTES).and_then(|s| s.get(place % SEGMENT_BYTES..))
        else {
            return Ok(0);
        };
        let wanted = rest.len().min(out.len());
        out[..wanted].copy_from_slice(&rest[..wanted]);
        Ok(wanted)
    }

    /// Reads exactly what lies from `at` on.
    pub(super) fn read_exact(&self, mut at: u64, mut out: &mut [u8]) -> io::Result<()> {
        while !out.is_empty() {
            match self.read(at, out)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    at += read as u64;
                    out = &mut out[read..];
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(log: &Log) -> Vec<u8> {
        let mut bytes = vec![0; log.len() as usize];
        log.read_exact(0, &mut bytes).unwrap();
        bytes
    }

    /// Whatever is pushed, truncated and spilled, it reads as a plain buffer would.
    #[test]
    fn reads_as_one_buffer() {
        let directory = std::env::temp_dir();
        let (mut log, mut plain) = (Log::default(), Vec::new());
        let mut seed = 7u64;
        for step in 0..2_000u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let size = (seed >> 33) as usize % 5_000;
            match (seed >> 20) % 16 {
                0 => log.spill(&directory).unwrap(),
                1 | 2 => {
                    let length = plain.len().saturating_sub(size * 7);
                    log.truncate(length as u64).unwrap();
                    plain.truncate(length);
                }
                _ => {
                    let bytes = vec![step as u8; size];
                    log.push(&bytes);
                    plain.extend(bytes);
                }
            }
            assert_eq!(log.len(), plain.len() as u64, "step {step}");
        }
        assert!(all(&log) == plain);
        assert!(log.spilled > 0 && !log.segments.is_empty());
        log.truncate(log.spilled).unwrap();
        assert_eq!(log.held(), 0);
        log.truncate(0).unwrap();
        assert_eq!((log.len(), log.held()), (0, 0));
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        let mut log = Log::default();
        log.push(b"x");
        assert!(log.spill(Path::new("/nowhere/at/all")).is_err());
        assert_eq!(all(&log), b"x", "nothing is lost");
    }
}
