//! nghttpd as a target of HTTP/2: it answers many streams by one write, so that it is not the limit
//! where nginx is. It keeps no count of requests: see [`super::Kind::counts`].

use std::fs;
use std::path::Path;
use std::process::Child;

use super::{Error, certificate, foreign};

const REMEDY: &str = "apt-get install -y nghttp2-server";

/// Starts it, with TLS or with prior knowledge; gives where it is to be loaded.
pub(super) fn start(core: usize, scratch: &Path, tls: bool) -> Result<(Child, String), Error> {
    let program = foreign::find("nghttpd", REMEDY)?;
    let failed = |error: std::io::Error| foreign::failed(&program, &error.to_string());
    let folder = scratch.join("htdocs");
    fs::create_dir_all(&folder).map_err(failed)?;
    fs::write(folder.join("index.html"), "Hello World").map_err(failed)?;
    let address = foreign::free_address()?;
    let port = address.rsplit(':').next().unwrap_or_default().to_owned();
    let mut arguments = vec![
        "--address=127.0.0.1".to_owned(),
        "--workers=1".to_owned(),
        format!("--htdocs={}", folder.display()),
    ];
    if tls {
        let made = certificate::make(scratch)?;
        let files = [made.key, made.certificate].map(|file| file.display().to_string());
        arguments.push(port);
        arguments.extend(files);
    } else {
        arguments.extend(["--no-tls".to_owned(), port]);
    }
    let child = foreign::start(core, &program, &arguments)?;
    let child = foreign::await_listener(child, &program, &address)?;
    let scheme = if tls { "https" } else { "http" };
    Ok((child, format!("{scheme}://{address}")))
}
