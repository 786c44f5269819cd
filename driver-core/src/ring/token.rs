//! What identifies an operation: its kind, its connection's slot, and which of the connections
//! that the slot has had, so that completions of an earlier one are told apart.

/// The kinds of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Opening a connection.
    Connect,
    /// A send that completes in any case.
    Send,
    /// A send that completes only when it fails.
    SilentSend,
    /// A receive.
    Receive,
    /// A receive whose bytes nobody wants.
    Discard,
    /// The end of a receive that goes on and on.
    Cancel,
    /// A buffer that is given to the kernel; its number stands for the slot.
    Provide,
    /// The wake-up call.
    Wake,
}

/// The identity of an operation, as it travels through the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it does.
    pub kind: Kind,
    /// The connection's slot.
    pub slot: u32,
    /// Counts the connections that the slot has had; 24 bits of it are kept.
    pub generation: u32,
}

/// Generations wrap here.
pub(crate) const GENERATION_MASK: u32 = 0x00ff_ffff;

impl Token {
    pub(super) fn pack(self) -> u64 {
        let generation = u64::from(self.generation & GENERATION_MASK);
        (self.kind as u64) << 56 | generation << 32 | u64::from(self.slot)
    }

    pub(super) fn unpack(bits: u64) -> Self {
        let kind = match bits >> 56 {
            0 => Kind::Connect,
            1 => Kind::Send,
            2 => Kind::SilentSend,
            3 => Kind::Receive,
            4 => Kind::Discard,
            5 => Kind::Cancel,
            6 => Kind::Provide,
            _ => Kind::Wake,
        };
        #[allow(clippy::cast_possible_truncation)] // the parts' own widths
        let (slot, generation) = (bits as u32, (bits >> 32) as u32 & GENERATION_MASK);
        Self {
            kind,
            slot,
            generation,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_kernel() {
        for kind in [
            Kind::Connect,
            Kind::Send,
            Kind::SilentSend,
            Kind::Receive,
            Kind::Discard,
            Kind::Cancel,
            Kind::Provide,
            Kind::Wake,
        ] {
            let token = Token {
                kind,
                slot: 49_999,
                generation: GENERATION_MASK,
            };
            assert_eq!(Token::unpack(token.pack()), token);
        }
    }
}
