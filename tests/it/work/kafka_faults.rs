//! Servers and workers on an Apache Kafka of a test's own: it is restarted, killed and away, workers die and stand still,
//! records can't be read, certificates and passwords are wrong. No event is lost, and the log says why nothing goes.

use std::fs;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use nix::sys::signal::Signal;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::help::database;
use crate::help::kafka_server::KafkaServer;
use crate::help::process::{eventually, within};
use crate::work::kafka_fleet::{Fleet, PATIENCE, TOPIC};

/// Stopped in order, killed, and away while players go on talking.
#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_restarted_killed_and_away_amid_tasks_loses_none() {
    let mut broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 2, &[]).await;
    fleet.send(100).await;
    fleet.some_arrive(20).await;
    broker.stop();
    fleet.send(40).await;
    broker.start_again();
    fleet.send(100).await;
    fleet.some_arrive(160).await;
    broker.kill();
    broker.start_again();
    fleet.send(100).await;
    fleet.all_arrive().await;
    assert_eq!(fleet.receiver.count(), fleet.sent, "and each once");
}

/// One that is killed, and one that stands still until the group has forgotten it and then goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_or_stands_still_costs_no_event() {
    let broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 3, &[]).await;
    fleet.send(100).await;
    fleet.some_arrive(10).await;
    drop(fleet.workers.remove(0));
    fleet.send(100).await;
    fleet.some_arrive(110).await;
    // On SQLite, which is one process's, its lock on the file may stand still with it.
    if database::on_postgres() {
        let still = fleet.workers.remove(0);
        still.signal(Signal::SIGSTOP);
        fleet.send(100).await;
        fleet.all_arrive().await;
        still.signal(Signal::SIGCONT);
    }
    fleet.send(60).await;
    fleet.all_arrive().await;
    // What was with the receiver when its worker died or stood still comes again, under the same id.
    let repeats = fleet.receiver.count() - fleet.sent;
    assert!(repeats <= 16, "{repeats} repeats");
}

/// Whoever may write to the topic may write anything: by every way of compressing, without key, value or sense.
#[tokio::test(flavor = "multi_thread")]
async fn no_record_stops_its_partition() {
    let mut broker = KafkaServer::start();
    let mut fleet = Fleet::start(&broker, 1, &[("GUILDHALL_TOPIC_PARTITIONS", "1")]).await;
    fleet.send(1).await;
    fleet.all_arrive().await;
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let envelope = |payload: &str| {
        format!(
            "{{\"v\":1,\"id\":\"of-{}\",\"task\":\"webhook.v1\",\"key\":\"k\",\"payload\":{payload}}}",
            payload.len()
        )
    };
    let mut poison = 0;
    let ways = ["none", "gzip", "snappy", "lz4", "zstd"];
    for compression in ways {
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", broker.address())
            .set("compression.type", compression)
            .set("message.max.bytes", "5000000")
            .create()
            .unwrap();
        let values =
            ["x".repeat(900_000), "not JSON".repeat(99), deep.clone(), envelope(&deep), envelope("{}")];
        for value in values.into_iter().map(Some).chain([None]) {
            let mut record = FutureRecord::<String, _>::to(TOPIC).partition(0);
            record.payload = value.as_ref();
            producer.send(record, Duration::from_secs(10)).await.map_err(|(fault, _)| fault).unwrap();
            poison += 1;
        }
    }
    fleet.send(20).await;
    let all = async || (fleet.receiver.ids().len() == 21).then_some(());
    within(PATIENCE, "what is behind the poison", all).await;
    // Of the two that are envelopes each way sent the same again: one task has one end.
    let dead = poison - 2 * (ways.len() - 1);
    eventually("all poison's letters", async || (fleet.status().await?["dead"] == dead).then_some(())).await;
    // A disk's fault: a compressed record that can't be taken apart any more.
    let big = "abcdefgh".repeat(10_000);
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", broker.address())
        .set("compression.type", "gzip")
        .create()
        .unwrap();
    drop(fleet.workers.remove(0));
    let record = FutureRecord::<String, _>::to(TOPIC).partition(0).payload(&big);
    producer.send(record, Duration::from_secs(10)).await.map_err(|(fault, _)| fault).unwrap();
    fleet.send(5).await;
    broker.stop();
    let segment = broker.folder().join(format!("data/{TOPIC}-0/00000000000000000000.log"));
    let bytes = fs::read(&segment).unwrap();
    let gzip = bytes.windows(3).rposition(|bytes| bytes == [0x1f, 0x8b, 0x08]).unwrap();
    let file = fs::File::options().write(true).open(&segment).unwrap();
    file.write_all_at(&[0xff; 40], gzip as u64 + 12).unwrap();
    broker.start_again();
    fleet.add_worker();
    let all = async || (fleet.receiver.ids().len() == 26).then_some(());
    within(PATIENCE, "what is behind a broken record", all).await;
    eventually("its letter", async || (fleet.status().await?["dead"] == dead + 1).then_some(())).await;
}

/// Twenty events arrive and then forty, and the broker is killed and loses the forty.
async fn lose_forty(broker: &mut KafkaServer, mut fleet: Fleet) -> Fleet {
    fleet.send(20).await;
    fleet.all_arrive().await;
    broker.stop();
    broker.keep_data();
    broker.start_again();
    fleet.send(40).await;
    fleet.all_arrive().await;
    broker.kill();
    broker.lose_what_came_since();
    fleet
}

/// The newest records of a broker are gone, as after an unclean failover: the producer can't explain its numbers any more.
#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_can_not_go_on_is_made_anew() {
    let mut broker = KafkaServer::start();
    let fleet = Fleet::start(&broker, 1, &[("GUILDHALL_TOPIC_PARTITIONS", "1")]).await;
    let mut fleet = lose_forty(&mut broker, fleet).await;
    broker.start_again();
    fleet.send(40).await;
    fleet.all_arrive().await;
}

/// The same behind a worker's back: when it looks again, others stand under the numbers that it has read.
#[tokio::test(flavor = "multi_thread")]
async fn what_came_in_place_of_lost_records_is_not_passed_over() {
    let mut broker = KafkaServer::start();
    // On SQLite a process that stands still may hold the lock that all others wait for: PostgreSQL, whatever the suite runs on.
    let database = database::migrated().await;
    let variables = [
        ("DATABASE_URL", database.as_str()),
        ("GUILDHALL_TOPIC_PARTITIONS", "1"),
        // Who stands still is no dead one meanwhile: that would join anew, and begin where the group is.
        ("KAFKA_SESSION_TIMEOUT_S", "60"),
    ];
    let fleet = Fleet::start(&broker, 1, &variables).await;
    let mut fleet = lose_forty(&mut broker, fleet).await;
    fleet.workers[0].signal(Signal::SIGSTOP);
    fleet.send(40).await;
    broker.start_again();
    eventually("as many as were lost are there", async || {
        (fleet.status().await?["sent"] == 40).then_some(())
    })
    .await;
    fleet.workers[0].signal(Signal::SIGCONT);
    fleet.all_arrive().await;
}

/// A certificate and a password, right and wrong: tasks go, or the log says why they don't, and never the password.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_certificate_or_password_stands_in_the_log() {
    const PASSWORD: &str = "a-password-for-tests";
    let ours = Authority::new("ours");
    let (certificate, key) = ours.sign();
    let pem = |text: &str| text.trim().replace('\n', " \\\n");
    let settings = format!(
        "ssl.keystore.type=PEM\nssl.keystore.certificate.chain={}\nssl.keystore.key={}\n\
         sasl.enabled.mechanisms=SCRAM-SHA-512\nsasl.mechanism.inter.broker.protocol=SCRAM-SHA-512\n\
         ssl.truststore.type=PEM\nssl.truststore.certificates={}\n\
         listener.name.clients.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule \
         required username=\"ann\" password=\"{PASSWORD}\";\n",
        pem(&certificate),
        pem(&key),
        pem(&ours.pem()),
    );
    let broker = KafkaServer::start_with("SASL_SSL", &[("ann", PASSWORD)], &settings);
    let (ca, other) =
        (broker.file("ca.pem", &ours.pem()), broker.file("other.pem", &Authority::new("others").pem()));
    let (password, wrong) = (broker.file("password", PASSWORD), broker.file("wrong", "another-password"));
    for (ca, password, why) in [
        (&ca, &password, None),
        (&other, &password, Some("certificate")),
        (&ca, &wrong, Some("uthentication")),
    ] {
        let more = [
            ("KAFKA_SECURITY", "sasl_ssl"),
            ("KAFKA_USERNAME", "ann"),
            ("KAFKA_PASSWORD_FILE", password.as_str()),
            ("KAFKA_CA_FILE", ca.as_str()),
        ];
        let mut fleet = Fleet::start(&broker, 1, &more).await;
        fleet.send(5).await;
        match why {
            None => fleet.all_arrive().await,
            Some(why) => {
                let says = async || {
                    let logs = fleet.logs();
                    let lines: Vec<&str> = logs.lines().filter(|line| line.contains("WARN")).collect();
                    lines.iter().any(|line| line.contains(why)).then_some(())
                };
                eventually(why, says).await;
                eventually("why tasks stay", async || {
                    let logs = fleet.logs();
                    let line = logs.lines().find(|line| line.contains("did not take tasks"))?;
                    line.contains(why).then_some(())
                })
                .await;
            }
        }
        assert!(!fleet.logs().contains(PASSWORD) && !fleet.logs().contains("another-password"));
    }
}

/// Whoever signs a broker's certificate.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut of_authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
        of_authority.distinguished_name.push(rcgen::DnType::CommonName, name);
        of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = of_authority.self_signed(&key).unwrap();
        Self { certificate, issuer: rcgen::Issuer::new(of_authority, key) }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// A certificate for this machine, and its key.
    fn sign(&self) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate =
            rcgen::CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}
