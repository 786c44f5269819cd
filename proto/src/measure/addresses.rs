//! Where connections went.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// Most addresses that are kept of one target.
pub const ADDRESSES_MAX: usize = 64;

/// Addresses of a target, such as `10.0.0.7:8000` or `unix:/run/web.sock`, in the order of their
/// text; at most [`ADDRESSES_MAX`], the first ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Option<Vec<String>>")]
pub struct Addresses(BTreeSet<String>);

impl Addresses {
    /// Whether no connection was opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The addresses.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Adds another node's.
    pub fn absorb(&mut self, other: &Self) {
        self.extend(other.0.iter().cloned());
    }
}

impl Extend<String> for Addresses {
    fn extend<I: IntoIterator<Item = String>>(&mut self, addresses: I) {
        for address in addresses {
            self.0.insert(address);
            if self.0.len() > ADDRESSES_MAX {
                self.0.pop_last();
            }
        }
    }
}

impl FromIterator<String> for Addresses {
    fn from_iter<I: IntoIterator<Item = String>>(addresses: I) -> Self {
        let mut all = Self::default();
        all.extend(addresses);
        all
    }
}

impl From<Option<Vec<String>>> for Addresses {
    fn from(read: Option<Vec<String>>) -> Self {
        read.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_merged_without_repeats_and_within_a_bound() {
        let of = |range: std::ops::Range<u32>| -> Addresses {
            range.map(|n| format!("10.0.{n:03}.1:80")).collect()
        };
        let (mut one, mut other) = (of(0..50), of(40..100));
        let (first, second) = (one.clone(), other.clone());
        one.absorb(&second);
        other.absorb(&first);
        assert_eq!(one, other, "in any order");
        assert_eq!(one.iter().count(), ADDRESSES_MAX);
        let mut json = crate::codec::encode(&one);
        assert_eq!(crate::codec::decode::<Addresses>(&mut json).unwrap(), one);
    }
}
