//! No transport of its own: plain bytes are those of the socket.

use std::convert::Infallible;

use super::{Progress, Transport};

/// Plain TCP, or a Unix socket.
#[derive(Debug, Clone, Copy, Default)]
pub struct Plain;

impl Transport for Plain {
    type State = ();
    type Broken = Infallible;
    const IS_PLAIN: bool = true;

    fn start(&mut self, _: usize, _: u64, _: &mut Vec<u8>) -> Result<(), Infallible> {
        Ok(())
    }

    fn is_established(&self, (): &()) -> bool {
        true
    }

    fn seal(&mut self, (): &mut (), plain: &[u8], out: &mut Vec<u8>) -> Result<(), Infallible> {
        out.extend_from_slice(plain);
        Ok(())
    }

    fn open(
        &mut self,
        (): &mut (),
        bytes: &mut [u8],
        _: &mut Vec<u8>,
        each: impl FnMut(&[u8]) -> bool,
    ) -> Result<Progress, Infallible> {
        let mut each = each;
        each(bytes);
        Ok(Progress::default())
    }

    fn close(&mut self, (): &mut (), _: &mut Vec<u8>) {}
}
