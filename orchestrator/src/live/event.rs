//! Server-sent events, as they go over the wire, and the places in a stream from which it goes on.

use std::fmt::{Display, Formatter, Result as Told};
use std::str::FromStr;
use std::sync::Arc;

/// An event as its bytes, one copy for all who listen.
pub(super) type Event = Arc<[u8]>;

/// A place in a stream: the id of the last event that somebody has. Who comes back with it gets what
/// came after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The first second of the run that was not told.
    pub(super) next: u64,
    /// How many seconds were told anew, because reports of them came late.
    pub(super) corrections: u64,
    /// In which life of the stream these were counted: one that nobody listens to is let go of, and
    /// who comes later gets another that counts anew.
    pub(super) life: u64,
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> Told {
        write!(f, "{}-{}-{:x}", self.next, self.corrections, self.life)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (next, rest) = text.split_once('-')?;
            let (corrections, life) = rest.split_once('-')?;
            let is_hex = life.bytes().all(|byte| byte.is_ascii_hexdigit());
            let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
            let is_right = is_hex && digits(next) && digits(corrections);
            is_right.then_some(Self {
                next: next.parse().ok()?,
                corrections: corrections.parse().ok()?,
                life: u64::from_str_radix(life, 16).ok()?,
            })
        };
        read().ok_or_else(|| format!("Last-Event-ID: {text:?} is no id of an event of this stream"))
    }
}

/// An event with JSON of one line.
pub(super) fn event(name: &str, place: Place, json: &str) -> Event {
    debug_assert!(!json.contains('\n'), "data of one line");
    format!("id: {place}\nevent: {name}\ndata: {json}\n\n")
        .into_bytes()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        let place = Place {
            next: 17,
            corrections: 2,
            life: 0xab,
        };
        assert_eq!(place.to_string(), "17-2-ab");
        assert_eq!("17-2-ab".parse(), Ok(place));
        for wrong in [
            "",
            "17",
            "17-2",
            "-2-ab",
            "+1-2-ab",
            "17-2-xy",
            "17-2-ab-",
            "a-2-ab",
            "99999999999999999999-0-a",
        ] {
            let told = wrong.parse::<Place>().unwrap_err();
            assert!(told.contains(&format!("{wrong:?}")), "{told}");
        }
    }

    #[test]
    fn an_event_has_its_id_its_name_and_its_data() {
        let place = "3-0-1".parse().unwrap();
        let bytes = event("series", place, "[1]");
        assert_eq!(&*bytes, b"id: 3-0-1\nevent: series\ndata: [1]\n\n");
    }
}
