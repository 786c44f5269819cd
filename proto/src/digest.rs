//! What a file is known by wherever its name is not enough: the SHA-256 of its content.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use ring::digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that are read and summed at once.
const READ_LEN: usize = 64 << 10;

/// The SHA-256 of a content; 64 hexadecimal digits wherever it is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// That of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut sum = Summing::default();
        sum.add(bytes);
        sum.finish()
    }

    /// That of all that is left to read, and how many bytes that is.
    ///
    /// # Errors
    /// Those of reading.
    pub fn of_reader(mut input: impl Read) -> io::Result<(Self, u64)> {
        let mut sum = Summing::default();
        let mut buffer = vec![0; READ_LEN];
        let mut bytes = 0;
        loop {
            let len = match input.read(&mut buffer) {
                Ok(0) => return Ok((sum.finish(), bytes)),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            sum.add(&buffer[..len]);
            bytes += len as u64;
        }
    }

    /// Its 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The one that has these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

/// A sum on its way.
#[derive(Clone)]
pub struct Summing(digest::Context);

impl Default for Summing {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Summing {
    /// Goes on with these bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The sum of all of them.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        let sum = self.0.finish();
        let bytes = sum.as_ref().try_into();
        Sha256(bytes.expect("invariant: SHA-256 has 32 bytes"))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("{text:?} is no SHA-256, which is 64 hexadecimal digits");
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(refuse());
        }
        let mut bytes = [0; 32];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &text[2 * at..2 * at + 2];
            *byte = u8::from_str_radix(digits, 16).map_err(|_| refuse())?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_one_that_everybody_computes() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256::of(b"").to_string(), empty);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Sha256::of(b"abc").to_string(), abc);
        assert_eq!(abc.parse(), Ok(Sha256::of(b"abc")));
        assert_eq!(abc.to_ascii_uppercase().parse(), Ok(Sha256::of(b"abc")));
        let bytes = vec![7; 3 * READ_LEN + 1];
        let read = Sha256::of_reader(&bytes[..]).unwrap();
        assert_eq!(read, (Sha256::of(&bytes), bytes.len() as u64));
    }

    #[test]
    fn what_is_none_is_refused() {
        let digits = "0123456789abcdef".repeat(4);
        for text in ["", "ab", &digits[1..], &format!("+{}", &digits[1..])] {
            let refused = text.parse::<Sha256>().unwrap_err();
            assert!(refused.contains("64 hexadecimal digits"), "{refused}");
        }
        assert!("ü".repeat(32).parse::<Sha256>().is_err());
    }
}
