//! What a replay says of the whole: its first 64 bytes, and the tail.

use std::io::{ErrorKind, Read, Seek, SeekFrom};

use flate2::Crc;

use super::{ReplayError, damaged, u32_at, u64_at};

/// Bytes of the head.
pub(super) const HEAD_LEN: usize = 64;
const MAGIC: [u8; 8] = *b"dltsplay";
const VERSION: u32 = 1;
/// Most bytes of the tail.
const TAIL_LEN_MAX: u64 = 1 << 20;

/// What is known of a replay before it is played.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// Its entries.
    pub requests: u64,
    /// The instant of the first, ns since 1970.
    pub first_ns: i64,
    /// The instant of the last, ns since 1970.
    pub last_ns: i64,
    /// Its methods, each with the number of its entries.
    pub methods: Vec<(String, u64)>,
    /// The names of the secrets in its paths.
    pub secrets: Vec<String>,
    /// Where the blocks end.
    pub(super) blocks_end: u64,
    pub(super) blocks: u64,
}

impl Head {
    /// From the first entry to the last, ns.
    #[must_use]
    pub fn span_ns(&self) -> u64 {
        self.last_ns.abs_diff(self.first_ns)
    }

    /// Reads the head and the tail, and checks that the file is as long as it says.
    ///
    /// # Errors
    /// [`ReplayError`] for what is no finished replay.
    pub fn read(input: &mut (impl Read + Seek)) -> Result<Self, ReplayError> {
        let is = input.seek(SeekFrom::End(0))?;
        input.rewind()?;
        let mut bytes = [0; HEAD_LEN];
        match input.read_exact(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                return Err(ReplayError::Other);
            }
            read => read?,
        }
        if bytes[..8] == [0; 8] {
            return Err(ReplayError::Unfinished);
        }
        if bytes[..8] != MAGIC {
            return Err(ReplayError::Other);
        }
        let version = u32_at(&bytes, 8);
        if version != VERSION {
            return Err(ReplayError::Version(version));
        }
        let (blocks_end, said) = (u64_at(&bytes, 40), u64_at(&bytes, 48));
        if is != said {
            return Err(ReplayError::Length { is, said });
        }
        let tail_len = said.checked_sub(blocks_end);
        let tail_len = tail_len.filter(|len| *len <= TAIL_LEN_MAX && blocks_end >= HEAD_LEN as u64);
        let tail_len = tail_len.ok_or_else(|| damaged("its tail is nowhere"))?;
        input.seek(SeekFrom::Start(blocks_end))?;
        let mut tail = Vec::new();
        input.take(tail_len).read_to_end(&mut tail)?;
        if checksum(&bytes, &tail) != u32_at(&bytes, 12) {
            return Err(damaged("its head or its tail is not as it was written"));
        }
        let mut head = Self {
            requests: u64_at(&bytes, 16),
            first_ns: u64_at(&bytes, 24).cast_signed(),
            last_ns: u64_at(&bytes, 32).cast_signed(),
            blocks_end,
            blocks: u64_at(&bytes, 56),
            ..Self::default()
        };
        head.read_tail(&tail)
            .ok_or_else(|| damaged("its tail is none"))?;
        Ok(head)
    }

    /// Takes what the tail says; `None` where that cannot be, or is not what the head says.
    fn read_tail(&mut self, tail: &[u8]) -> Option<()> {
        for line in std::str::from_utf8(tail).ok()?.lines() {
            let (kind, rest) = line.split_once(' ')?;
            match kind {
                "method" => {
                    let (method, count) = rest.split_once(' ')?;
                    if !is_token(method) {
                        return None;
                    }
                    self.methods.push((method.to_owned(), count.parse().ok()?));
                }
                "secret" => self.secrets.push(rest.to_owned()),
                _ => return None,
            }
        }
        let counts = self.methods.iter();
        let sum = counts.fold(0_u64, |sum, (_, count)| sum.saturating_add(*count));
        (sum == self.requests && self.first_ns <= self.last_ns).then_some(())
    }

    pub(super) fn tail(&self) -> String {
        let methods = self.methods.iter();
        let methods = methods.map(|(method, count)| format!("method {method} {count}\n"));
        let secrets = self.secrets.iter().map(|name| format!("secret {name}\n"));
        methods.chain(secrets).collect()
    }

    /// The head of a finished file with this tail.
    pub(super) fn to_bytes(&self, tail: &[u8]) -> [u8; HEAD_LEN] {
        let mut bytes = [0; HEAD_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let numbers = [
            self.requests,
            self.first_ns.cast_unsigned(),
            self.last_ns.cast_unsigned(),
            self.blocks_end,
            self.blocks_end + tail.len() as u64,
            self.blocks,
        ];
        for (number, into) in numbers.iter().zip(bytes[16..].chunks_exact_mut(8)) {
            into.copy_from_slice(&number.to_le_bytes());
        }
        let sum = checksum(&bytes, tail);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }
}

/// Whether a text is a method as HTTP has them (RFC 9110, 5.6.2).
fn is_token(text: &str) -> bool {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_sign)
}

fn checksum(head: &[u8; HEAD_LEN], tail: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(&head[16..]);
    crc.update(tail);
    crc.sum()
}
