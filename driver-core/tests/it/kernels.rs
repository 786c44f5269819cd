//! Older kernels, as far as this one can be told to be one.

use std::os::unix::process::CommandExt;
use std::process::Command;

use driver_core::ring::Setup;

use crate::rig::Rig;
use crate::server::{OK, Server};

#[test]
fn the_engine_works_without_the_newest_flags() {
    for setup in [Setup::Newest, Setup::Cooperative, Setup::Plain] {
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
