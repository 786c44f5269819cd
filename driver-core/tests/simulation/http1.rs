//! A target that speaks HTTP/1.1: it answers the requests of a connection one after another.

use crate::network::{Means, Memory, Part, Sent, Target};

pub(crate) struct Http1Target;

impl Target for Http1Target {
    type Line = ();
    const GREETS: bool = false;

    fn take(net: &mut Memory<Self>, slot: u32, sent: Sent<'_>) {
        let length = match sent {
            Sent::Shared(length) => length,
            Sent::Bytes(bytes) => bytes.len(),
        };
        assert_eq!(length % net.request_len, 0, "a part of a request");
        for _ in 0..length / net.request_len {
            net.count_send();
            answer(net, slot);
        }
    }

    fn act(_: &mut Memory<Self>, _: u32, _: u32) {}

    fn returned((): &mut (), _: u32) -> Vec<u64> {
        Vec::new()
    }
}

fn answer(net: &mut Memory<Http1Target>, slot: u32) {
    let m = net.mischief;
    if net.is_silent(slot) || net.happens(m.holds) {
        return net.silence(slot);
    }
    let sent_ns = net.now_ns;
    let begin_ns = net.slots[slot as usize].busy_until_ns.max(sent_ns);
    let at_ns = begin_ns + net.rng.u64(20_000..3_000_000);
    let (status, means) = if net.happens(m.fails) {
        (503, Means::Bad(sent_ns))
    } else {
        (200, Means::Good(sent_ns))
    };
    let body = "x".repeat(net.rng.usize(0..40));
    let head = format!("HTTP/1.1 {status} S\r\nContent-Length: {}\r\n", body.len());
    let mut bytes = format!("{head}\r\n{body}").into_bytes();
    net.slots[slot as usize].parts.push_back(Part {
        key: 0,
        means,
        left: bytes.len(),
    });
    let spoils = net.happens(m.surplus);
    if spoils {
        bytes.extend_from_slice(b"HTTP/1.1 408 T\r\n");
    }
    net.say(slot, at_ns, bytes);
    if spoils {
        net.silence(slot);
    }
}
