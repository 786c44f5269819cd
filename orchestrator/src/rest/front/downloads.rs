//! Files that are answers: the API opens them, the front sends them, and nobody holds them whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Bytes that are read at a time: what the front holds of a file for a client.
const CHUNK_LEN: u64 = 256 << 10;
/// A file that waited longer waits for an answer that was given up.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// The files that wait for the front, by the number that the API's answer names.
#[derive(Debug, Default)]
pub struct Downloads(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_ticket: BTreeMap<u64, (Arc<File>, Instant)>,
    last_ticket: u64,
}

impl Downloads {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // It is whole whenever it is let go of.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has a file wait; its number.
    pub(in crate::rest) fn put(&self, file: Arc<File>) -> u64 {
        let mut inner = self.inner();
        inner.last_ticket += 1;
        let ticket = inner.last_ticket;
        inner.by_ticket.insert(ticket, (file, Instant::now()));
        ticket
    }

    /// Lets go of the files for which nobody came.
    pub(in crate::rest) fn forget_unclaimed(&self) {
        let mut inner = self.inner();
        inner
            .by_ticket
            .retain(|_, (_, since)| since.elapsed() < WAIT_MAX);
    }

    /// The file, which waits no more.
    pub(super) fn take(&self, ticket: u64) -> Option<Arc<File>> {
        let taken = self.inner().by_ticket.remove(&ticket);
        taken.map(|(file, _)| file)
    }
}

/// What of a file is still to be sent.
#[derive(Debug)]
pub(super) struct Rest {
    file: Arc<File>,
    left: u64,
}

impl Rest {
    /// All of it, from where it stands, to its end as it is now.
    pub(super) fn of(file: Arc<File>) -> io::Result<Self> {
        let left = file.metadata()?.len();
        Ok(Self { file, left })
    }

    /// Bytes that are left.
    pub(super) fn len(&self) -> u64 {
        self.left
    }

    /// The next bytes; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Vec<u8>> {
        let len = self.left.min(CHUNK_LEN);
        let mut bytes = Vec::new();
        (&*self.file).take(len).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= len;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    #[test]
    fn a_file_is_taken_once_and_read_in_pieces() {
        let downloads = Downloads::default();
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        file.rewind().unwrap();
        let ticket = downloads.put(Arc::new(file));
        let mut rest = Rest::of(downloads.take(ticket).unwrap()).unwrap();
        assert!(downloads.take(ticket).is_none());
        assert_eq!(rest.len(), 600_000);
        let (mut read, mut pieces) = (Vec::new(), 0);
        while rest.len() > 0 {
            read.extend(rest.next().unwrap());
            pieces += 1;
        }
        assert_eq!((read == bytes, pieces), (true, 3));
        assert!(rest.next().unwrap().is_empty());
    }
}
