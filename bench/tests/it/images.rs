//! The first minute out of images: `buildah` makes them of the binaries that are there, and `runc` starts
//! their root file systems as an engine would: another user, nothing writable but the volume, the
//! seccomp profile that ships.

mod container;

use serde_json::{Value, json};

use crate::cluster::process::Signal;
use crate::cluster::skip::skip;
use crate::cluster::{RUN, Rest, SOON, alone, assert_whole, core, result, start_broker, wait_for};
use container::Images;

#[test]
fn the_first_minute_out_of_images() {
    let images = match Images::build() {
        Ok(images) => images,
        Err(why) => return skip(&why),
    };
    let _alone = alone();
    let broker = start_broker(images.folder());
    let bootstrap = broker.line(|line| line.strip_prefix("ready ").map(str::to_owned));
    let bootstrap = ("BROKER_IP", bootstrap.as_str());

    let mut target = images.start(
        "testserver",
        "target",
        &[("TESTSERVER_LISTEN", "127.0.0.1:0")],
    );
    let target_address = target.process.address();
    let url = format!("http://{target_address}/");
    let url = ("DLTS_TARGET", url.as_str());
    let listen = ("DLTS_LISTEN", "127.0.0.1:0");
    let mut orchestrator = images.start("orchestrator", "orchestrator", &[listen, bootstrap, url]);
    let address = orchestrator.process.address();
    let rest = Rest::new(&address, &target_address);
    let drivers = ["driver-1", "driver-2"];
    let mut drivers = [0, 1].map(|at| {
        let cores = core(at);
        let settings = [
            ("DLTS_NODE_ID", drivers[at]),
            ("DLTS_CORES", &cores),
            bootstrap,
            url,
        ];
        images.start("driver", drivers[at], &settings)
    });
    wait_for(SOON, "2 drivers to be up", || {
        let nodes = rest.get("/nodes").json;
        let up = nodes
            .as_array()?
            .iter()
            .filter(|node| node["state"] == "up");
        (up.count() == 2).then_some(())
    });

    target.assert_healthy(&[("TESTSERVER_LISTEN", &target_address)]);
    orchestrator.assert_healthy(&[("ORCHESTRATOR", &address)]);
    drivers[0].assert_healthy(&[]);

    let created = rest.post("/avalanche?requests=10000");
    let test_id = created.json["TestId"].as_str().unwrap();
    let armed = rest.post(&format!("/trigger/{test_id}"));
    assert_eq!(armed.status, 200, "{}", armed.text);
    let result = wait_for(RUN, "the end of the test", || {
        result::if_ended(rest.get(&format!("/metrics/{test_id}")).json)
    });
    let server_saw = rest.target_text("/metric").trim().parse().unwrap();
    assert_whole(&result, 20_000, server_saw);

    let [first, second] = &mut drivers;
    for container in [first, second, &mut orchestrator, &mut target] {
        container.signal(Signal::TERM);
        assert_eq!(
            container.process.await_end(),
            Some(0),
            "an end in good order"
        );
    }
}

#[test]
fn the_orchestrator_of_an_image_wants_a_token() {
    let images = match Images::build() {
        Ok(images) => images,
        Err(why) => return skip(&why),
    };
    let mut orchestrator = images.start("orchestrator", "orchestrator", &[]);
    assert_ne!(orchestrator.process.await_end(), Some(0));
    let errors = orchestrator.process.errors();
    assert!(errors.contains("--token"), "{errors}");
}

#[test]
fn images_are_small_and_theirs_is_no_shell() {
    let images = match Images::build() {
        Ok(images) => images,
        Err(why) => return skip(&why),
    };
    for name in ["driver", "merger", "orchestrator", "testserver"] {
        let image = images.image(name);
        assert_eq!(image.config["User"], "65532:65532", "{name}");
        assert_eq!(image.config["StopSignal"], "SIGTERM", "{name}");
        assert_eq!(
            image.config["Cmd"].as_array().map_or(0, Vec::len),
            0,
            "{name}"
        );
        let check = &image.config["Healthcheck"]["Test"];
        assert_eq!(
            check[0],
            json!("CMD"),
            "{name}: a health check without a shell"
        );
        for program in [&image.config["Entrypoint"][0], &check[1]] {
            let program = program.as_str().unwrap().trim_start_matches('/');
            assert!(image.root.join(program).is_file(), "{name} has {program}");
        }
        assert!(!image.root.join("bin").exists(), "{name}");
    }
    let profile: Value = container::seccomp();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
}
