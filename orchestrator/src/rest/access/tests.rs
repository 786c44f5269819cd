//! What comes through, and what does not.

use super::*;

fn access(listen: &str, token: Option<&str>, targets: &[&str]) -> Access {
    let targets = targets.iter().map(|text| text.parse().unwrap()).collect();
    Access::new(
        listen.parse().unwrap(),
        token.map(str::to_owned),
        None,
        targets,
    )
}

const LOCAL: Credentials<'_> = Credentials {
    is_safe: false,
    host: Some("127.0.0.1:8001"),
    origin: None,
    fetch_site: None,
    fetch_mode: None,
    fetch_dest: None,
    authorization: None,
};

#[test]
fn pages_of_other_sites_are_kept_out() {
    let access = access("127.0.0.1:8001", None, &[]);
    assert_eq!(access.check(&LOCAL, false), Ok(()));
    let own = Credentials {
        origin: Some("http://127.0.0.1:8001"),
        ..LOCAL
    };
    assert_eq!(access.check(&own, false), Ok(()));
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1:9999",
        "http://127.0.0.1",
    ] {
        let page = Credentials {
            origin: Some(origin),
            ..LOCAL
        };
        assert_eq!(
            access.check(&page, false),
            Err(Denied::CrossSite(origin.into()))
        );
    }
    let page = Credentials {
        fetch_site: Some("cross-site"),
        ..LOCAL
    };
    assert!(access.check(&page, false).is_err());
    assert!(
        access.check(&page, true).is_ok(),
        "a link to the page is no harm"
    );
}

#[test]
fn a_name_that_points_to_loopback_is_not_ours() {
    let local = access("127.0.0.1:8001", None, &[]);
    for host in ["evil.example:8001", "10.0.0.1", "localhost.evil.example"] {
        let page = Credentials {
            host: Some(host),
            ..LOCAL
        };
        assert_eq!(local.check(&page, true), Err(Denied::Host(host.into())));
    }
    for host in ["localhost:8001", "[::1]:8001", "LOCALHOST", "127.0.0.1"] {
        let own = Credentials {
            host: Some(host),
            ..LOCAL
        };
        assert_eq!(local.check(&own, false), Ok(()), "{host}");
    }
    for host in [
        "[::1].evil.example",
        "x y",
        "[::1",
        "localhost:8001:1",
        "localhost:x",
        ":1",
    ] {
        let wrong = Credentials {
            host: Some(host),
            ..LOCAL
        };
        assert_eq!(local.check(&wrong, true), Err(Denied::NoHost(host.into())));
    }
    let wide = access("0.0.0.0:8001", Some("secret"), &[]);
    let named = Credentials {
        host: Some("load.lan:8001"),
        ..LOCAL
    };
    assert_eq!(wide.check(&named, true), Ok(()));
}

#[test]
fn without_a_token_only_names_are_ours_that_nobody_else_can_give_us() {
    let open = access("0.0.0.0:8001", None, &[]);
    let asked_as = |host: &str| {
        let request = Credentials {
            host: Some(host),
            ..LOCAL
        };
        open.check(&request, true).is_ok()
    };
    for host in [
        "10.1.2.3:8001",
        "[fd00::1]:8001",
        "orchestrator:8001",
        "a.b.internal",
    ] {
        assert!(asked_as(host), "{host}");
    }
    for host in ["rebound.example:8001", "10.1.2.3.nip.io"] {
        assert!(!asked_as(host), "{host}");
    }
}

#[test]
fn a_proxy_in_front_of_us_is_told_of_by_the_public_url() {
    let mut access = access("127.0.0.1:8001", None, &[]);
    let page = Credentials {
        origin: Some("https://dlts.example"),
        ..LOCAL
    };
    assert!(access.check(&page, false).is_err());
    access.public_url = Some("https://dlts.example/".parse().unwrap());
    assert_eq!(access.check(&page, false), Ok(()));
    let passed_on = Credentials {
        host: Some("dlts.example"),
        ..page
    };
    assert_eq!(access.check(&passed_on, false), Ok(()));
    let other = Credentials {
        origin: Some("https://dlts.example:444"),
        ..LOCAL
    };
    assert!(access.check(&other, false).is_err());
    for wrong in [
        "dlts.example",
        "ftp://h",
        "https://",
        "https://h/path",
        "https://h:x",
    ] {
        let refused = wrong.parse::<PublicUrl>().unwrap_err();
        assert!(refused.contains("https://host"), "{wrong}: {refused}");
    }
    let url: PublicUrl = "https://h:8443".parse().unwrap();
    assert_eq!(url.to_string(), "https://h:8443");
}

#[test]
fn links_from_other_sites_open_and_nothing_else_of_them_does() {
    let access = access("127.0.0.1:8001", None, &[]);
    let link = Credentials {
        is_safe: true,
        fetch_site: Some("cross-site"),
        fetch_mode: Some("navigate"),
        fetch_dest: Some("document"),
        ..LOCAL
    };
    assert_eq!(access.check(&link, false), Ok(()));
    let form = Credentials {
        is_safe: false,
        ..link
    };
    assert!(access.check(&form, false).is_err(), "a form that posts");
    let script = Credentials {
        fetch_mode: Some("no-cors"),
        fetch_dest: Some("script"),
        ..link
    };
    assert!(access.check(&script, false).is_err());
    let frame = Credentials {
        fetch_dest: Some("iframe"),
        ..link
    };
    assert!(access.check(&frame, false).is_err());
}

#[test]
fn the_token_is_asked_for() {
    let access = access("0.0.0.0:8001", Some("secret"), &[]);
    for (header, right) in [
        (Some("Bearer secret"), true),
        (Some("bearer secret"), true),
        (Some("Bearer secre"), false),
        (Some("Bearer secrets"), false),
        (Some("Basic secret"), false),
        (Some("secret"), false),
        (None, false),
    ] {
        let request = Credentials {
            authorization: header,
            ..LOCAL
        };
        assert_eq!(access.check(&request, false).is_ok(), right, "{header:?}");
    }
    assert_eq!(
        access.check(&LOCAL, true),
        Ok(()),
        "the page itself is public"
    );
}

#[test]
fn targets_beyond_loopback_are_listed() {
    let access = access(
        "127.0.0.1:1",
        None,
        &["web.lan:8080", "10.0.0.7", "[fd00::1]:80", "fd00::2"],
    );
    let admits = |url: &str| access.admits(&Target::parse(url).unwrap());
    for url in [
        "http://localhost/",
        "http://127.0.0.1:8000/",
        "http://[::1]:9/",
        "http://WEB.lan:8080/x",
        "http://10.0.0.7:1234/",
        "http://[fd00::1]/",
        "http://[fd00::2]:7/",
    ] {
        assert!(admits(url), "{url}");
    }
    for url in [
        "http://web.lan/",
        "http://10.0.0.8/",
        "http://example.org/",
        "http://[fd00::1]:81/",
    ] {
        assert!(!admits(url), "{url}");
    }
}
