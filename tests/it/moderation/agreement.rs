//! One decision about rights: what every door answers is what `chat::rights` says over the same facts, whatever SQL it goes
//! through: the writer's, for one channel, for many, and what is remembered of a send before.

use guildhall::base::error::Error;
use guildhall::chat::rights::{ChannelState, Facts, Right, Who, may};
use guildhall::chat::sanctions::{Sanction, SanctionKind};
use guildhall::chat::values::{Kind, Role};
use serde_json::{Value, json};

use crate::help::{Actor, Reply, TestApp};

/// Numbers that are the same in each run.
struct Dice(u64);

impl Dice {
    fn of<T: Clone>(&mut self, sides: &[T]) -> T {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        sides[(self.0 >> 33) as usize % sides.len()].clone()
    }
}

/// A channel, a caller, and what is known of both.
#[derive(Debug)]
struct Case {
    channel: String,
    player: String,
    kind: Kind,
    open: bool,
    read_only: bool,
    min_level: i64,
    level: i64,
    staff: bool,
    role: Option<Role>,
    sanctions: Vec<(SanctionKind, String)>,
}

impl Case {
    fn new(n: usize, dice: &mut Dice) -> Self {
        let (channel, player) = (format!("c{n}"), format!("p{n}"));
        let places = ["everywhere", "kind:world", "kind:guild", &format!("channel:{channel}"), "channel:c"]
            .map(str::to_owned);
        let kinds = [SanctionKind::Warn, SanctionKind::Mute, SanctionKind::Shadow, SanctionKind::Ban];
        let sanctions =
            (0..dice.of(&[0, 0, 0, 1, 1, 2])).map(|_| (dice.of(&kinds), dice.of(&places))).collect();
        Self {
            channel,
            player,
            kind: dice.of(&[Kind::World, Kind::Guild, Kind::Party, Kind::System]),
            open: dice.of(&[true, false]),
            read_only: dice.of(&[true, false, false, false]),
            min_level: dice.of(&[0, 0, 5]),
            level: dice.of(&[0, 5]),
            staff: dice.of(&[true, false, false, false, false]),
            role: dice.of(&[None, Some(Role::Member), Some(Role::Member), Some(Role::Officer)]),
            sanctions,
        }
    }

    /// Makes all of it so, by the game's server and a moderator.
    async fn set_up(&self, app: &TestApp) {
        let (settings, members) = (
            json!({ "open": self.open, "read_only": self.read_only, "min_level": self.min_level }),
            if self.role.is_some() { vec![&self.player] } else { Vec::new() },
        );
        app.channel(
            json!({ "id": self.channel, "kind": self.kind, "settings": settings, "members": members }),
        )
        .await;
        if self.role == Some(Role::Officer) {
            let role = json!({ "channel": self.channel, "player": self.player, "role": "officer" });
            app.server().post("/channel/role", role).await.data();
        }
        for (kind, place) in &self.sanctions {
            let sanction = json!({ "player": self.player, "kind": kind, "where": place, "seconds": 3_600, "reason": "r" });
            app.moderator("mod").post("/sanction/give", sanction).await.data();
        }
    }

    /// The decision, as a door says it: its code and reason; none where nothing is against it.
    fn decided(&self, right: Right) -> Option<(&'static str, String)> {
        let sanction = |(kind, place): &(SanctionKind, String)| Sanction {
            kind: *kind,
            place: place.clone(),
            until: Some(1_000),
            reason: "r".to_owned(),
        };
        let sanctions: Vec<Sanction> = self.sanctions.iter().map(sanction).collect();
        let facts = Facts { now: 0, role: self.role, sanctions: &sanctions, blocked: false };
        let Self { open, read_only, min_level, .. } = *self;
        let place = ChannelState { id: &self.channel, kind: self.kind, open, min_level, read_only };
        let who = Who { staff: self.staff, level: self.level };
        let refused = may(who, right, &place, &facts).err()?;
        let error = Error::from(refused);
        let details = error.details();
        Some((error.code(), details["reason"].as_str().unwrap_or_default().to_owned()))
    }

    fn caller<'a>(&self, app: &'a TestApp) -> Actor<'a> {
        match self.staff {
            true => app.moderator(&self.player),
            false => app.player_of_level(&self.player, self.level),
        }
    }
}

fn answered(reply: &Reply) -> Option<(String, String)> {
    let reason = reply.body["error"]["details"]["reason"].as_str().unwrap_or_default().to_owned();
    (reply.status != 200).then(|| (reply.code(), reason))
}

#[tokio::test]
async fn every_door_answers_as_the_rule_decides() {
    let app = TestApp::new().await;
    let mut dice = Dice(36);
    let (mut refused, mut cases) = (0, Vec::new());
    for n in 0..160 {
        let case = Case::new(n, &mut dice);
        case.set_up(&app).await;
        cases.push(case);
    }
    for case in &cases {
        let caller = case.caller(&app);
        let hold = |door: &str, right: Right, reply: &Reply| {
            let decided = case.decided(right).map(|(code, reason)| (code.to_owned(), reason));
            assert_eq!(answered(reply), decided, "{door}: {case:?}");
            usize::from(decided.is_some())
        };
        let channel = &case.channel;
        refused += hold("info", Right::Read, &caller.get(&format!("/channel/info?channel={channel}")).await);
        refused += hold("list", Right::Read, &caller.get(&format!("/message/list?channel={channel}")).await);
        let online = caller.get(&format!("/channel/online?channel={channel}")).await;
        refused += hold("online", Right::SeeOnline, &online);
        let sync = json!({ "channels": [{ "channel": channel, "after": 0 }] });
        let synced = caller.post("/message/sync", sync).await.data()["channels"][0]["error"].clone();
        let decided = case.decided(Right::Read).map_or(Value::Null, |(code, _)| json!(code));
        assert_eq!(synced, decided, "sync: {case:?}");
        // The second is decided on what is remembered of the first.
        for text in ["one", "two"] {
            let said = json!({ "channel": channel, "text": text, "nonce": text });
            let sent = caller.post("/message/send", said).await;
            refused += hold("send", Right::Speak, &sent);
            if sent.status == 200 {
                let seq = sent.data()["message"]["seq"].clone();
                let page = app.moderator("mod").get(&format!("/message/list?channel={channel}")).await.data();
                let seen = page["messages"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .find(|message| message["seq"] == seq)
                    .unwrap();
                let noticed = seen["kind"] == "text";
                assert_eq!(noticed, case.decided(Right::BeNoticed).is_none(), "noticed: {case:?} {seen}");
            }
        }
        let theirs =
            app.server().post("/message/send", json!({ "channel": channel, "text": "by the game" })).await;
        if theirs.status == 200 && case.decided(Right::Read).is_none() {
            let seq = theirs.data()["message"]["seq"].clone();
            let recall = caller.post("/message/recall", json!({ "channel": channel, "seq": seq })).await;
            // What the game says is staff's alone to recall.
            assert_eq!(recall.status == 200, case.staff, "recall: {case:?} {}", recall.body);
        }
        if !case.staff {
            let mute = json!({ "player": "nobody", "kind": "mute", "where": format!("channel:{channel}"), "seconds": 60, "reason": "r" });
            let given = caller.post("/sanction/give", mute).await;
            let by_rule = case.decided(Right::Mute).map(|(code, reason)| (code.to_owned(), reason));
            // Whoever may is told that nobody of that name is a member.
            let expected = by_rule.or_else(|| Some(("not_found".to_owned(), String::new())));
            assert_eq!(answered(&given), expected, "mute: {case:?}");
            refused += usize::from(expected.is_some_and(|(code, _)| code == "forbidden"));
        }
        refused +=
            hold("join", Right::Join, &caller.post("/channel/join", json!({ "channel": channel })).await);
    }
    assert!(refused > 200, "most doors are closed to somebody: {refused}");
}
