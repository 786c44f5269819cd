//! The static types of a load: which protocol its requests speak, over which transport.

use std::sync::Arc;

use crate::core_loop::{Common, CoreError, CoreLoop, Payload};
use crate::dispatch::Readiness;
use crate::plan::{Plan, Share};
use crate::protocol::Template;
use crate::protocol::http1::Http1;
use crate::ring::Features;
use crate::transport::plain::Plain;

/// Bytes of pipelined requests that are rendered one after another, unless one is longer.
const PAYLOAD_LEN_MAX: usize = 1 << 20;

/// What a load speaks. Each core builds its own from it.
#[derive(Debug, Clone)]
pub(super) enum Stack {
    /// HTTP/1.1 without TLS: all connections send slices of one payload.
    Plain {
        requests: Arc<[Template]>,
        payload: Payload,
    },
}

impl Stack {
    /// That of a plan.
    pub(super) fn new(plan: &Plan) -> Self {
        let workload = plan.workload();
        let request = Template::fixed(&workload.request, &workload.target, false);
        let requests: Arc<[Template]> = [request].into();
        let http1 = Http1::new(&requests);
        let one = http1
            .as_fixed(0)
            .expect("invariant: nothing in it is to be filled in");
        let fitting = (PAYLOAD_LEN_MAX / one.len()).clamp(1, workload.pipeline.max(1) as usize);
        let payload = Payload {
            bytes: one.repeat(fitting).into(),
            request_len: one.len(),
        };
        Self::Plain { requests, payload }
    }

    /// Runs one core's share to its end.
    pub(super) async fn run(
        self,
        common: Common,
        share: Share,
        ready: impl FnOnce(Readiness, Features),
    ) -> Result<(), CoreError> {
        match self {
            Self::Plain { requests, payload } => {
                let stack = (Http1::new(&requests), Plain);
                CoreLoop::new(common, &share, payload, stack)?
                    .run(ready)
                    .await
            }
        }
    }
}
