//! Older kernels, as far as this one can be told to be one.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use driver_core::ring::Setup;

use crate::rig::{Rig, own_the_cores};
use crate::server::{OK, Server};

const SETUPS: [Setup; 3] = [Setup::Newest, Setup::Cooperative, Setup::Plain];

#[test]
fn the_engine_works_without_the_newest_flags() {
    for setup in SETUPS {
        let server = Server::answering(OK);
        let done = Rig::on(&server)
            .setup(setup)
            .requests(500)
            .pipeline(2)
            .run();
        assert_eq!(
            (done.counters.ok, server.requests()),
            (500, 500),
            "{setup:?}"
        );
        let paced = Rig::on(&server)
            .setup(setup)
            .rate("1000")
            .seconds(0.3)
            .run();
        assert_eq!(paced.counters.ok, 300, "{setup:?}");
    }
}

#[test]
fn long_and_short_answers_are_received_whole_without_the_newest_flags() {
    let _cores = own_the_cores();
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n{}",
        "x".repeat(300_000)
    );
    for setup in SETUPS {
        let long = long.clone();
        let server = Server::start(move |peer| {
            let mut count = 0;
            while peer.request().is_some() {
                count += 1;
                let answer = if count % 3 == 0 { long.as_bytes() } else { OK };
                if !peer.send(answer) {
                    return;
                }
            }
        });
        let done = Rig::on(&server)
            .setup(setup)
            .connections(3)
            .requests(300)
            .pipeline(4)
            .run();
        assert_eq!(
            (done.counters.ok, server.requests()),
            (300, 300),
            "{setup:?}: {:?}",
            done.counters
        );
    }
}

#[test]
fn more_answers_at_once_than_there_are_buffers_are_received_all_the_same() {
    let _cores = own_the_cores();
    for setup in SETUPS {
        // One connection has 16 buffers; a hundred answers in pieces need more.
        let answers = OK.repeat(100);
        let server = Server::start(move |peer| {
            while (0..100).all(|_| peer.request().is_some()) {
                if !answers.chunks(7).all(|piece| peer.send(piece)) {
                    return;
                }
            }
        });
        let done = Rig::on(&server)
            .setup(setup)
            .connections(1)
            .pipeline(100)
            .requests(1000)
            .run();
        assert_eq!(done.counters.ok, 1000, "{setup:?}: {:?}", done.counters);
    }
}

#[test]
fn the_end_of_a_load_waits_for_nothing() {
    let _cores = own_the_cores();
    let server = Server::answering(OK);
    for setup in SETUPS {
        let took = (0..5).map(|_| {
            let begin = Instant::now();
            let done = Rig::on(&server)
                .setup(setup)
                .connections(20)
                .requests(20)
                .run();
            assert_eq!(done.counters.ok, 20);
            begin.elapsed()
        });
        let fastest = took.min().unwrap();
        assert!(
            fastest < Duration::from_millis(100),
            "{setup:?}: {fastest:?}"
        );
    }
}

#[test]
fn the_flags_in_use_are_said() {
    let server = Server::answering(OK);
    for (setup, word) in [(Setup::Cooperative, "COOP_TASKRUN"), (Setup::Plain, "none")] {
        let (load, intervals) = Rig::on(&server).setup(setup).requests(1).prepare().unwrap();
        let features = load.ring_features().unwrap().to_string();
        assert!(features.contains(word), "{features}");
        load.stop();
        let _ = crate::rig::collect(load, &intervals);
    }
}

/// Lets `io_uring_setup` fail in this process and its children, as a container's profile does.
fn refuse_io_uring(error: i32) -> std::io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf: 0,
        k,
    };
    let errno = libc::SECCOMP_RET_ERRNO | u32::try_from(error).unwrap();
    let mut filter = [
        // The number of the system call is the first word of what is looked at.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                u32::try_from(libc::SYS_io_uring_setup).unwrap(),
            )
        },
        statement(libc::BPF_RET | libc::BPF_K, errno),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its filter outlive the calls, which copy them.
    let refused = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
            || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &program) != 0
    };
    if refused {
        return Err(std::io::Error::last_os_error());
    }
    Ok(())
}

#[test]
fn without_io_uring_the_error_names_the_remedy_at_once() {
    for (error, remedy) in [
        (libc::EPERM, "kernel.io_uring_disabled=0"),
        (libc::ENOSYS, "Linux 5.11"),
        (libc::ENOMEM, "ulimit -l"),
    ] {
        for arguments in [
            vec!["check"],
            vec!["run", "http://127.0.0.1:9/", "--requests", "1"],
        ] {
            let mut command = Command::new(env!("CARGO_BIN_EXE_driver"));
            command.args(&arguments);
            // SAFETY: between fork and exec it makes two system calls and touches its own stack.
            unsafe { command.pre_exec(move || refuse_io_uring(error)) };
            let output = command.output().unwrap();
            let words = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}: {words}");
            assert_eq!(words.trim_end().lines().count(), 1, "{words}");
            assert!(words.contains(remedy), "{arguments:?}: {words}");
        }
    }
}
