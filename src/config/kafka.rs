//! The variables of the broker.

use super::{KafkaConfig, KafkaFiles, Parsed, Password, Reader, SaslConfig, SaslPassword, parse};

const SECURITY: [&str; 4] = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// None where no broker is named.
pub(super) fn read(env: &mut Reader<'_>, latest: bool) -> Option<KafkaConfig> {
    let brokers = env.optional(
        "KAFKA_BROKERS",
        "none: the outbox is the queue",
        "bootstrap servers of Kafka, `host:port` joined by commas; tasks then run in `guildhall worker`",
        brokers,
    );
    let topic = env.get(
        "GUILDHALL_TOPIC",
        "guildhall.tasks",
        "the topic of tasks; `$LATEST` uses it with `.latest` behind, dead letters go to it with `.dead` behind",
        topic,
    );
    // What testers cause must not reach the workers of the published versions.
    let topic = if latest { format!("{topic}.latest") } else { topic };
    let partitions = env.get(
        "GUILDHALL_TOPIC_PARTITIONS",
        "12",
        "partitions that the topic gets where it is not there yet, 1 to 1000",
        |text| parse::number(text, 1, 1_000).map(|number| number as i32),
    );
    let security = env.get(
        "KAFKA_SECURITY",
        "plaintext",
        "`plaintext`, `ssl`, `sasl_plaintext` or `sasl_ssl`",
        |text| one_of(text, &SECURITY),
    );
    let session = env.get(
        "KAFKA_SESSION_TIMEOUT_S",
        "6",
        "seconds after which a worker that says nothing is taken for dead, 6 to 300; the broker may want more",
        |text| parse::seconds(text, 6, 300),
    );
    let sasl = sasl(env, security, brokers.is_some());
    let files = files(env);
    Some(KafkaConfig { brokers: brokers?, topic, partitions, security, sasl, files, session })
}

fn sasl(env: &mut Reader<'_>, security: &str, is_used: bool) -> Option<SaslConfig> {
    let mechanism = env.get(
        "KAFKA_SASL_MECHANISM",
        "SCRAM-SHA-512",
        "`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`",
        |text| one_of(text, &MECHANISMS),
    );
    let username = env.optional("KAFKA_USERNAME", "none", "name for SASL", |text| Ok(text.to_owned()));
    let password =
        env.optional("KAFKA_PASSWORD", "none", "password for SASL", |text| Ok(Password(text.to_owned())));
    let password_file = env.optional(
        "KAFKA_PASSWORD_FILE",
        "none",
        "file that holds the password for SASL instead; read whenever a client is made",
        |text| Ok(text.to_owned()),
    );
    let password = match (password, password_file) {
        (Some(_), Some(_)) => {
            env.fault("KAFKA_PASSWORD_FILE", "and KAFKA_PASSWORD say the same: one of them");
            return None;
        }
        (Some(password), None) => Some(SaslPassword::Text(password)),
        (None, file) => file.map(SaslPassword::File),
    };
    match (security.starts_with("sasl"), username, password) {
        (false, ..) => None,
        (true, Some(username), Some(password)) => Some(SaslConfig { mechanism, username, password }),
        (true, ..) if !is_used => None,
        (true, ..) => {
            env.fault("KAFKA_USERNAME", "and KAFKA_PASSWORD (or its file) are required with sasl");
            None
        }
    }
}

fn files(env: &mut Reader<'_>) -> KafkaFiles {
    let file = |text: &str| Ok(text.to_owned());
    let ca = env.optional(
        "KAFKA_CA_FILE",
        "the system's",
        "file of the certificates that the broker's is checked against",
        file,
    );
    let certificate = env.optional(
        "KAFKA_CERTIFICATE_FILE",
        "none",
        "file of our own certificate (PEM), where the broker wants one; with KAFKA_KEY_FILE",
        file,
    );
    let key = env.optional("KAFKA_KEY_FILE", "none", "file of that certificate's key (PEM)", file);
    if certificate.is_some() != key.is_some() {
        env.fault("KAFKA_CERTIFICATE_FILE", "and KAFKA_KEY_FILE belong together");
    }
    KafkaFiles { ca, certificate, key }
}

fn brokers(text: &str) -> Parsed<String> {
    let fits = |broker: &str| {
        broker.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
    };
    if text.split(',').all(fits) {
        Ok(text.to_owned())
    } else {
        Err("is not host:port joined by commas".to_owned())
    }
}

fn topic(text: &str) -> Parsed<String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if !text.is_empty() && text.len() <= 200 && text.chars().all(fits) {
        Ok(text.to_owned())
    } else {
        Err(format!("is '{text}', not up to 200 letters, digits, '.', '_' and '-'"))
    }
}

fn one_of(text: &str, allowed: &[&'static str]) -> Parsed<&'static str> {
    let found = allowed.iter().find(|one| **one == text);
    found.copied().ok_or_else(|| format!("is '{text}', not one of {}", allowed.join(", ")))
}
