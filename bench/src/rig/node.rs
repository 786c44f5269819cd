//! node's own HTTP server as a server to compare with: a few lines, one thread.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Error;

const REMEDY: &str = "apt-get install -y nodejs";

/// Prints the same start line as ours and counts at `/metric` as ours do.
const SCRIPT: &str = "
let count = 0;
const server = require('node:http').createServer((request, response) => {
  if (request.url === '/metric') return response.end(String(count));
  count++;
  response.setHeader('Content-Length', 11);
  response.end('Hello World');
});
server.listen(0, '127.0.0.1', 4096, () =>
  console.log(JSON.stringify({ listen: '127.0.0.1:' + server.address().port })));
";

pub(super) fn start(core: usize, scratch: &Path) -> Result<Child, Error> {
    let program = crate::tools::locate("node").ok_or_else(|| Error::Missing {
        program: "node".into(),
        remedy: REMEDY.into(),
    })?;
    let failed = |error: std::io::Error| Error::Start {
        program: "node".into(),
        message: error.to_string(),
    };
    let script = scratch.join("server.js");
    std::fs::write(&script, SCRIPT).map_err(failed)?;
    Command::new(std::env::current_exe().map_err(failed)?)
        .args(["exec", "--core", &core.to_string(), "--replace", "--"])
        .args([&program, &script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)
}
