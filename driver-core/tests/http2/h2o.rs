//! h2o 2.2, which refers to a dynamic table that it was told not to have.

use std::path::Path;

use crate::client::{Load, get};
use crate::program::{Program, find};

#[test]
fn a_table_that_should_not_be_there_is_read() {
    let Some(h2o) = find("h2o", "apt-get install -y h2o") else {
        return;
    };
    let arguments = |port: u16, folder: &Path| {
        std::fs::create_dir(folder.join("htdocs")).unwrap();
        std::fs::write(folder.join("htdocs/index.html"), "Hello World").unwrap();
        let file = folder.join("h2o.conf");
        std::fs::write(&file, configuration(port, folder)).unwrap();
        vec!["--conf".to_owned(), file.display().to_string()]
    };
    let h2o = Program::on_port(&h2o, arguments);
    let tally = Load::new(&[get("/"), get("/missing")], 2000, 300).run(h2o.port);
    assert_eq!((tally.statuses[&200], tally.statuses[&404]), (1000, 1000));
    assert_eq!((tally.most_in_flight, tally.returned), (100, 0));
    assert_eq!(h2o.lines("access.log", 2000, |line| line == "200"), 1000);
    assert_eq!(h2o.lines("access.log", 2000, |line| line == "404"), 1000);
}

fn configuration(port: u16, folder: &Path) -> String {
    let folder = folder.display();
    // Started by root it would become somebody who may not write to the folder.
    let is_root = rustix::process::geteuid().is_root();
    let user = if is_root { "user: root" } else { "" };
    format!(
        "{user}
num-threads: 1
pid-file: {folder}/h2o.pid
hosts:
  default:
    listen: {{ host: 127.0.0.1, port: {port} }}
    access-log: {{ path: {folder}/access.log, format: \"%s\" }}
    paths: {{ /: {{ file.dir: {folder}/htdocs }} }}
"
    )
}
