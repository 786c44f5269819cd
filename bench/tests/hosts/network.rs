//! Hosts as network namespaces on one bridge, gone when the test is.

use std::net::Ipv4Addr;
use std::process::Command;

/// Whether this machine lets us make hosts; why not, otherwise.
pub(crate) fn is_possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("network namespaces need root".to_owned());
    }
    for tool in ["ip", "iptables"] {
        let there = Command::new(tool).arg("-V").output();
        there.map_err(|error| format!("{tool}: {error}"))?;
    }
    let name = format!("dlts-{}-probe", std::process::id());
    let made = try_run("ip", &["netns", "add", &name]);
    made.and_then(|()| try_run("ip", &["netns", "del", &name]))
}

/// A bridge, on which this machine is host 1.
pub(crate) struct Network {
    tag: String,
    third: u8,
    hosts: Vec<String>,
}

impl Network {
    /// Makes the bridge.
    pub(crate) fn new() -> Self {
        let third = fastrand::u8(1..250);
        let network = Self {
            tag: format!("dl{:x}", std::process::id()),
            third,
            hosts: Vec::new(),
        };
        let bridge = network.bridge();
        // An address of its own: a bridge without one takes the lowest of its ports', which changes
        // as hosts are added, and a host that asked before then speaks to nobody for 20 s and more.
        let own_mac = format!("02:00:0a:d5:{third:02x}:01");
        ip(&[
            "link", "add", &bridge, "address", &own_mac, "type", "bridge",
        ]);
        let address = format!("{}/24", network.address(1));
        ip(&["address", "add", &address, "dev", &bridge]);
        ip(&["link", "set", &bridge, "up"]);
        network
    }

    fn bridge(&self) -> String {
        format!("{}b", self.tag)
    }

    fn address(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 213, self.third, host)
    }

    /// The address of this machine on the bridge.
    pub(crate) fn own_address(&self) -> Ipv4Addr {
        self.address(1)
    }

    /// Adds a host.
    pub(crate) fn add(&mut self, name: &str) -> Host {
        let number = u8::try_from(self.hosts.len() + 2).expect("few hosts");
        let namespace = format!("dlts-{}-{name}", std::process::id());
        let (outer, inner) = (format!("{}o{number}", self.tag), "eth0");
        let host = Host {
            namespace,
            address: self.address(number),
        };
        ip(&["netns", "add", &host.namespace]);
        self.hosts.push(host.namespace.clone());
        let to = ["netns", &host.namespace];
        ip(&[
            &["link", "add", &outer, "type", "veth", "peer", "name", inner],
            &to[..],
        ]
        .concat());
        ip(&["link", "set", &outer, "master", &self.bridge(), "up"]);
        let address = format!("{}/24", host.address);
        host.run("ip", &["address", "add", &address, "dev", inner]);
        host.run("ip", &["link", "set", inner, "up"]);
        host.run("ip", &["link", "set", "lo", "up"]);
        host
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for (at, namespace) in self.hosts.iter().enumerate() {
            // The pair goes with one end, also where a thread still holds the namespace.
            let _ = try_run("ip", &["link", "del", &format!("{}o{}", self.tag, at + 2)]);
            let _ = try_run("ip", &["netns", "del", namespace]);
        }
        let _ = try_run("ip", &["link", "del", &self.bridge()]);
    }
}

/// One host.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) namespace: String,
    pub(crate) address: Ipv4Addr,
}

impl Host {
    /// A command that runs a program on it, and becomes that program.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let whole = ["netns", "exec", &self.namespace, program];
        ip(&[&whole[..], arguments].concat());
    }

    /// Loses this share of the packets that come in.
    pub(crate) fn lose(&self, share: f64) {
        let share = share.to_string();
        let rule = [
            "-A",
            "INPUT",
            "-i",
            "eth0",
            "-m",
            "statistic",
            "--mode",
            "random",
        ];
        self.run(
            "iptables",
            &[&rule[..], &["--probability", &share, "-j", "DROP"]].concat(),
        );
    }

    /// Cuts it off from all others.
    pub(crate) fn cut(&self) {
        self.run("iptables", &["-I", "INPUT", "-i", "eth0", "-j", "DROP"]);
        self.run("iptables", &["-I", "OUTPUT", "-o", "eth0", "-j", "DROP"]);
    }

    /// Cuts it off from one other host.
    pub(crate) fn cut_from(&self, other: Ipv4Addr) {
        let other = other.to_string();
        self.run("iptables", &["-I", "INPUT", "-s", &other, "-j", "DROP"]);
        self.run("iptables", &["-I", "OUTPUT", "-d", &other, "-j", "DROP"]);
    }

    /// Takes all rules away.
    pub(crate) fn heal(&self) {
        self.run("iptables", &["-F"]);
    }
}

fn ip(arguments: &[&str]) {
    if let Err(reason) = try_run("ip", arguments) {
        panic!("{reason}");
    }
}

fn try_run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!(
            "{program} {}: {}",
            arguments.join(" "),
            words.trim()
        ))
    }
}
