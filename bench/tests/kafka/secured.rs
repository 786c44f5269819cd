//! A Kafka behind TLS and SASL/SCRAM, with an authorizer that grants what the README says.

use proto::topic::Topic;

use crate::broker::{Kafka, free_ports, property};
use crate::certificates::Authority;

/// What the README asks for: who, which operations, on which topics.
const GRANTS: [Grant; 3] = [
    (
        "orchestrator",
        &["Describe", "Read", "Write"],
        &[
            Topic::Register,
            Topic::TestConfig,
            Topic::Trigger,
            Topic::Metrics,
            Topic::Heartbeat,
            Topic::Control,
            Topic::Data,
        ],
    ),
    (
        "driver",
        &["Describe", "Read"],
        &[
            Topic::TestConfig,
            Topic::Trigger,
            Topic::Control,
            Topic::Data,
        ],
    ),
    (
        "driver",
        &["Write"],
        &[Topic::Register, Topic::Metrics, Topic::Heartbeat],
    ),
];

/// What it asks for besides where there are mergers.
const GRANTS_WITH_MERGERS: [Grant; 3] = [
    ("orchestrator", &["Describe", "Read"], &[Topic::Merged]),
    ("merger", &["Describe", "Read"], &[Topic::Metrics]),
    ("merger", &["Create", "Describe", "Write"], &[Topic::Merged]),
];
type Grant = (&'static str, &'static [&'static str], &'static [Topic]);

const ACL: &str = "org.apache.kafka.tools.AclCommand";
const ADD: [&str; 3] = ["--add", "--force", "--allow-principal"];

/// The broker, the address where its certificate has expired, and who certified it.
pub(crate) struct Secured {
    pub(crate) kafka: Kafka,
    pub(crate) expired: String,
    pub(crate) authority: Authority,
    pub(crate) stranger: Authority,
    internal: String,
}

impl Secured {
    /// Starts it. Nobody but the broker itself may do anything yet.
    pub(crate) fn start() -> Self {
        let [client, expired, internal, controller] = free_ports();
        let mut made = None;
        let kafka = Kafka::with(|folder| {
            let authority = Authority::new(folder, "authority");
            let good = authority.certify("good", 2);
            let old = authority.certify("old", -1);
            let address = |name: &str, port: u16| format!("{name}://127.0.0.1:{port}");
            let open = [
                address("CLIENT", client),
                address("EXPIRED", expired),
                address("INTERNAL", internal),
            ]
            .join(",");
            let all = format!("{open},{}", address("CONTROLLER", controller));
            let voters = format!("1@127.0.0.1:{controller}");
            let protocols = "CLIENT:SASL_SSL,EXPIRED:SASL_SSL,INTERNAL:PLAINTEXT,\
                             CONTROLLER:PLAINTEXT";
            made = Some((authority, Authority::new(folder, "stranger")));
            let properties = [
                ("listeners", all.as_str()),
                ("advertised.listeners", &open),
                ("controller.quorum.voters", &voters),
                ("listener.security.protocol.map", protocols),
                ("sasl.enabled.mechanisms", "SCRAM-SHA-512"),
                ("ssl.keystore.type", "PEM"),
                ("ssl.keystore.location", &good.display().to_string()),
                (
                    "listener.name.expired.ssl.keystore.location",
                    &old.display().to_string(),
                ),
                ("listener.name.expired.ssl.keystore.type", "PEM"),
                (
                    "authorizer.class.name",
                    "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
                ),
                ("super.users", "User:ANONYMOUS"),
            ];
            let mut arguments: Vec<String> = properties
                .iter()
                .flat_map(|(name, value)| property(name, value))
                .chain(property(
                    "listener.name.client.scram-sha-512.sasl.jaas.config",
                    JAAS,
                ))
                .chain(property(
                    "listener.name.expired.scram-sha-512.sasl.jaas.config",
                    JAAS,
                ))
                .collect();
            for user in ["orchestrator", "merger", "driver"] {
                let user = format!("SCRAM-SHA-512=[name={user},password={user}-secret]");
                arguments.extend(["--scram".to_owned(), user]);
            }
            arguments
        });
        let (authority, stranger) = made.unwrap();
        let local = |port: u16| format!("127.0.0.1:{port}");
        let mut secured = Self {
            kafka,
            expired: local(expired),
            authority,
            stranger,
            internal: local(internal),
        };
        secured.await_answer();
        secured
    }

    fn await_answer(&mut self) {
        let client = std::mem::replace(&mut self.kafka.broker.address, self.internal.clone());
        self.kafka.broker.await_answer().unwrap();
        self.kafka.broker.address = client;
    }

    /// Runs a tool as the broker itself, at the listener that only this machine reaches.
    pub(crate) fn tool(&self, class: &str, arguments: &[&str]) -> String {
        let whole = [&["--bootstrap-server", &self.internal], arguments].concat();
        let done = self.kafka.distribution.tool(class, &whole);
        done.unwrap_or_else(|text| panic!("{class} {arguments:?}: {text}"))
    }

    /// Grants what the README asks for, and nothing else.
    pub(crate) fn grant(&self) {
        let create = ["User:orchestrator", "--operation", "Create", "--cluster"];
        self.tool(ACL, &[&ADD[..], &create].concat());
        self.grant_all(GRANTS);
    }

    /// Grants what it asks for on topics where there are mergers.
    pub(crate) fn grant_topics_of_mergers(&self) {
        self.grant_all(GRANTS_WITH_MERGERS);
    }

    /// Lets mergers be a group.
    pub(crate) fn grant_group_of_mergers(&self) {
        let group = [
            "User:merger",
            "--operation",
            "Read",
            "--group",
            "dlts-merger",
        ];
        self.tool(ACL, &[&ADD[..], &group].concat());
    }

    fn grant_all(&self, grants: [Grant; 3]) {
        for (user, operations, topics) in grants {
            let user = format!("User:{user}");
            let operations = operations.iter().flat_map(|name| ["--operation", name]);
            let topics = topics.iter().flat_map(|topic| ["--topic", topic.name()]);
            let rest = [user.as_str()].into_iter().chain(operations).chain(topics);
            let whole: Vec<&str> = ADD.into_iter().chain(rest).collect();
            self.tool(ACL, &whole);
        }
    }

    /// The properties of a client that trusts `authority` and has this password.
    pub(crate) fn properties(
        user: &str,
        password: &str,
        authority: &Authority,
    ) -> Vec<(String, String)> {
        let certificate = authority.certificate().display().to_string();
        [
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", user),
            ("sasl.password", password),
            ("ssl.ca.location", &certificate),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

const JAAS: &str = "org.apache.kafka.common.security.scram.ScramLoginModule required;";
