//! The profile `nodes` of the compose file.

use super::{VERSION, assert_reads, documents, image, path, strings};

#[test]
fn the_compose_file_starts_our_images_as_they_are() {
    let compose = &documents("redpanda-compose.yml")[0];
    let broker = compose["services"]["redpanda-0"].to_string();
    assert_eq!(strings(&compose["x-node"]["profiles"]), ["nodes"]);
    for program in ["driver", "merger", "orchestrator", "testserver"] {
        let service = &compose["services"][program];
        assert_eq!(service["<<"], compose["x-node"], "{program}");
        assert_eq!(service["image"], format!("dlts/{program}:v{VERSION}"));
        let settings = service["environment"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        assert_reads(program, settings.keys().map(String::as_str));
        if let Some(address) = settings.get("BROKER_IP") {
            let address = address.as_str().unwrap();
            assert!(
                broker.contains(&format!("internal://{address}")),
                "{address}"
            );
        }
        for published in strings(&service["ports"]) {
            let (_, port) = published.rsplit_once(':').unwrap();
            assert!(
                published.starts_with("127.0.0.1:"),
                "{published} is not for others"
            );
            assert!(
                image(program).contains(&format!("EXPOSE {port}\n")),
                "{published}"
            );
        }
        for volume in strings(&service["volumes"]) {
            let (volume, folder) = volume.split_once(':').unwrap();
            assert!(compose["volumes"].get(volume).is_some(), "{volume}");
            assert!(
                image(program).contains(&format!("VOLUME {folder}\n")),
                "{folder}"
            );
        }
    }
    let merger = &compose["services"]["merger"];
    assert_eq!(
        strings(&merger["profiles"]),
        ["mergers"],
        "only when asked for"
    );
    let driver = &compose["services"]["driver"];
    let options = strings(&driver["security_opt"]);
    let profile = options
        .iter()
        .find_map(|option| option.strip_prefix("seccomp="));
    assert!(path(profile.unwrap()).is_file(), "{profile:?}");
    assert!(driver["ulimits"]["memlock"].as_u64().unwrap() >= 512 << 10);
}
