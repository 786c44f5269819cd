//! The servers that the requests of a document go to.

use super::check::CONNECTIONS_MAX;
use super::reading::{Fields, Reader};
use crate::workload::{HttpChoice, Step, Target};

/// Most servers of a document: what a node tells of each has to fit into its last report.
const SERVERS_MAX: usize = 64;

/// Leaves out the document's own target where no request goes there: nobody connects to it.
pub(super) fn leave_out_unused(targets: &mut Vec<Target>, steps: &mut [Step]) {
    let is_used = steps.iter().any(|step| step.request.target == 0);
    if is_used || targets.len() < 2 {
        return;
    }
    targets.remove(0);
    for step in steps {
        step.request.target -= 1;
    }
}

/// Whether a document may have these servers, each with so many connections of a driver.
pub(super) fn check(
    reader: &mut Reader,
    fields: &Fields<'_>,
    targets: &[Target],
    connections: u32,
) {
    let servers = targets.len();
    let mut at = ["flows", "steps", "target"].into_iter();
    let Some(at) = at.find_map(|name| fields.get(name)) else {
        return;
    };
    if servers > SERVERS_MAX {
        let problem = format!("{servers} servers; at most {SERVERS_MAX} in one document");
        reader.wrong(&at, problem);
    }
    let all = u64::from(connections) * servers as u64;
    if servers > 1 && all > u64::from(CONNECTIONS_MAX) {
        let at = fields.get("defaults").unwrap_or(at);
        let problem = format!(
            "{connections} connections to each of {servers} servers are {all}; at most \
             {CONNECTIONS_MAX} of a driver in all"
        );
        reader.wrong(&at, problem);
    }
    let with_tls = targets.iter().filter(|target| target.is_tls).count();
    if with_tls < 2 {
        return;
    }
    if let Some(at) = fields.get("tls")
        && at.node.get("server_name").is_some()
    {
        let problem = format!(
            "server_name is one name, and {with_tls} servers have TLS: take it out, so that each \
             has to be who its URL says"
        );
        reader.wrong(&at, problem);
    }
}

/// Whether a choice of HTTP goes with a target.
pub(super) fn http_problem(http: HttpChoice, target: &Target) -> Result<(), String> {
    match http {
        HttpChoice::Two if !target.is_tls => {
            Err("http: 2 is HTTP/2 over TLS; over http:// write h2c".to_owned())
        }
        HttpChoice::ClearTwo if target.is_tls => {
            Err("http: h2c is HTTP/2 without TLS; over https:// write 2 or auto".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Document, Setting};

    fn refused(text: &str) -> Vec<String> {
        let read = Document::read(text, Setting::default());
        let problems = read.map_or_else(|invalid| invalid.0, |_| Vec::new());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_target_that_no_request_goes_to_is_no_server() {
        let text = "target: http://a/\nsteps: [GET http://b/x, GET http://c/, GET http://B:80/]";
        let scenario = Document::read(text, Setting::default()).unwrap().scenario;
        let servers = scenario.targets.iter().map(|target| target.host.as_str());
        assert_eq!(servers.collect::<Vec<_>>(), ["b", "c"]);
        let steps = scenario.steps.iter().map(|step| step.request.target);
        assert_eq!(steps.collect::<Vec<_>>(), [0, 1, 0]);
    }

    #[test]
    fn connections_are_to_each_server_and_bounded_in_all() {
        let text = |connections| {
            format!(
                "target: http://a/\ndefaults: {{connections: {connections}}}\n\
                 steps: [GET /, GET http://b/]"
            )
        };
        assert_eq!(refused(&text(25_000)), Vec::<String>::new());
        assert_eq!(
            refused(&text(25_001)),
            [
                "2:11: defaults: 25001 connections to each of 2 servers are 50002; at most 50000 of a \
              driver in all"
            ]
        );
    }

    #[test]
    fn what_is_said_of_all_servers_has_to_go_with_each() {
        let text = "target: http://a/\ndefaults: {http: h2c}\nsteps: [GET /, GET https://b/]";
        let found = refused(text);
        assert!(
            found[0].starts_with("3:16: steps[1]: http: h2c is"),
            "{found:?}"
        );
        let name = "target: https://a/\ntls: {server_name: x}\nsteps: [GET /, GET ";
        assert_eq!(refused(&format!("{name}http://b/]")), Vec::<String>::new());
        let found = refused(&format!("{name}https://b/]"));
        assert!(
            found[0].starts_with("2:6: tls: server_name is one name"),
            "{found:?}"
        );
    }

    #[test]
    fn a_secret_of_the_standards_goes_to_the_target_alone() {
        let text = |step: &str| {
            format!(
                "target: http://a/\ndefaults: {{headers: {{Authorization: Bearer x, Accept: y}}}}\n\
                 steps: [GET /, {step}]"
            )
        };
        let found = refused(&text("GET http://b/"));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("another server") && found[0].contains("write Authorization"),
            "{found:?}"
        );
        for own in ["null", "Bearer z"] {
            let step = format!("{{GET: http://b/, headers: {{authorization: {own}}}}}");
            assert_eq!(refused(&text(&step)), Vec::<String>::new(), "{own}");
        }
        assert_eq!(refused(&text("GET http://a/x")), Vec::<String>::new());
    }

    #[test]
    fn servers_are_bounded() {
        let steps: Vec<String> = (1..=65)
            .map(|port| format!("GET http://h:{port}/"))
            .collect();
        let text = format!("target: http://h:1/\nsteps: [{}]", steps.join(", "));
        let found = refused(&text);
        assert_eq!(
            found,
            ["2:8: steps: 65 servers; at most 64 in one document"]
        );
    }
}
