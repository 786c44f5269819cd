//! The base of `kubectl apply --kustomize`.

use serde_json::Value;

use super::{VERSION, assert_reads, documents, help, image, strings};

const FOLDER: &str = ".deploy/kubernetes";

/// All manifests, and the kustomization.
fn base() -> (Vec<Value>, Value) {
    let base = documents(&format!("{FOLDER}/kustomization.yaml")).remove(0);
    let files = strings(&base["resources"])
        .into_iter()
        .map(|file| format!("{FOLDER}/{file}"));
    let manifests = files.flat_map(|file| documents(&file)).collect();
    (manifests, base)
}

fn manifest<'a>(manifests: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is_it =
        |manifest: &&Value| manifest["kind"] == kind && manifest["metadata"]["name"] == name;
    manifests
        .iter()
        .find(is_it)
        .unwrap_or_else(|| panic!("there is no {kind} {name}"))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[test]
fn the_settings_are_those_that_the_programs_read() {
    let (_, base) = base();
    let generated = &base["configMapGenerator"][0];
    let settings = strings(&generated["literals"]);
    assert!(settings.len() >= 3, "{settings:?}");
    for program in ["driver", "orchestrator"] {
        assert_reads(
            program,
            settings
                .iter()
                .filter_map(|setting| setting.split('=').next()),
        );
    }
}

#[test]
fn the_pods_start_our_images_as_they_are() {
    let (manifests, base) = base();
    for program in ["driver", "merger", "orchestrator"] {
        let spec = &manifest(&manifests, "Deployment", program)["spec"];
        let pod = &spec["template"]["spec"];
        assert_eq!(
            spec["selector"]["matchLabels"],
            spec["template"]["metadata"]["labels"]
        );
        for container in list(&pod["containers"])
            .iter()
            .chain(list(&pod["initContainers"]))
        {
            assert_eq!(container["image"], format!("dlts/{program}"));
            for argument in strings(&container["args"]) {
                assert!(
                    help(program).contains(&format!(" {argument} ")),
                    "{program} {argument}"
                );
            }
            for settings in list(&container["envFrom"]) {
                assert_eq!(
                    settings["configMapRef"]["name"],
                    base["configMapGenerator"][0]["name"]
                );
            }
            let settings = list(&container["env"]).iter();
            assert_reads(
                program,
                settings.map(|setting| setting["name"].as_str().unwrap()),
            );
            for mount in list(&container["volumeMounts"]) {
                let folder = mount["mountPath"].as_str().unwrap();
                let made = format!("COPY --chown=65532:65532 empty {folder}\n");
                assert!(image(program).contains(&made), "{folder}");
                let mut volumes = list(&pod["volumes"]).iter();
                assert!(volumes.any(|volume| volume["name"] == mount["name"]));
            }
        }
        let tag = list(&base["images"])
            .iter()
            .find(|image| image["name"] == format!("dlts/{program}"));
        assert_eq!(tag.unwrap()["newTag"], format!("v{VERSION}"));
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{program}");
    }
}

#[test]
fn the_service_reaches_the_orchestrator() {
    let (manifests, _) = base();
    let service = &manifest(&manifests, "Service", "orchestrator")["spec"];
    let spec = &manifest(&manifests, "Deployment", "orchestrator")["spec"];
    assert_eq!(service["selector"], spec["template"]["metadata"]["labels"]);
    assert_eq!(
        spec["strategy"]["type"], "Recreate",
        "one orchestrator a cluster"
    );
    let port = &spec["template"]["spec"]["containers"][0]["ports"][0];
    assert_eq!(service["ports"][0]["targetPort"], port["name"]);
    let exposed = format!("EXPOSE {}\n", port["containerPort"]);
    assert!(image("orchestrator").contains(&exposed), "{exposed}");
    let claim = &spec["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"];
    manifest(&manifests, "PersistentVolumeClaim", claim.as_str().unwrap());
}
