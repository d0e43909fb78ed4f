//! The template and the way of a release on AWS, by the real command lines against MiniStack, which executes the
//! functions' versions. It applies no weights, keeps no figures of logs and starts no function by Kafka; so weights are
//! tested on plain servers, and what CloudWatch makes of the functions' lines is put there by the test.

#![expect(clippy::disallowed_methods, reason = "scripts/services says by a variable where the cloud is")]

use std::fs;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::help::SECRET;
use crate::help::database;
use crate::help::process::server_token;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn tool(name: &str) -> String {
    let path = format!("{ROOT}/target/tools/{name}");
    assert!(fs::exists(&path).unwrap(), "run scripts/tools once: it fetches {path}");
    path
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn refused(output: &Output, code: i32, why: &str) {
    let fault = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{fault}");
    assert!(fault.contains(why), "{fault}");
}

fn template() -> String {
    fs::read_to_string("deploy/aws/template.yaml").unwrap()
}

#[test]
fn the_template_passes_cfn_lint_and_sam_validate() {
    let template = format!("{ROOT}/deploy/aws/template.yaml");
    succeeded(&Command::new(tool("sam/bin/cfn-lint")).arg(&template).output().unwrap());
    let mut sam = Command::new(tool("sam/bin/sam"));
    sam.args(["validate", "--lint", "--region", "eu-west-1", "--template", &template])
        .env("SAM_CLI_TELEMETRY", "0");
    assert!(succeeded(&sam.output().unwrap()).contains("is a valid SAM Template"));
}

/// What the linters let through, and what must not change by accident.
#[test]
fn the_template_says_what_linters_do_not_check() {
    let script = "import json, sys
from samcli.yamlhelper import yaml_parse
print(json.dumps(yaml_parse(open(sys.argv[1]).read())))";
    let python = tool("sam/bin/python");
    let read = Command::new(python).args(["-c", script, "deploy/aws/template.yaml"]).output().unwrap();
    let template: Value = serde_json::from_str(&succeeded(&read)).unwrap();
    let resources = &template["Resources"];
    let of = |name: &str| &resources[name]["Properties"];
    assert_eq!(of("Timer")["ScheduleExpression"], "rate(1 minute)", "the word is singular for one");
    assert!(
        !template.to_string().contains("DeploymentPreference"),
        "scripts/release shifts traffic, and nobody else"
    );
    let globals = &template["Globals"]["Function"];
    assert_eq!(
        (&globals["Runtime"], &template["Parameters"]["Architecture"]["Default"]),
        (&json!("provided.al2023"), &json!("arm64"))
    );
    for (function, handler) in [("Api", "api"), ("Worker", "worker"), ("Migrate", "migrate")] {
        assert_eq!(of(function)["Handler"], handler);
        assert_eq!(
            resources[function]["Properties"].get("AutoPublishAlias"),
            None,
            "a deployment moves no players"
        );
    }
    // A request's own 503 before the platform's end; a task's time within half of the worker's.
    assert!(
        of("Api")["Timeout"].as_i64().unwrap() > 10 && of("Worker")["Timeout"].as_i64().unwrap() >= 2 * 120
    );
    assert_eq!(of("LatestRoute")["RouteKey"], "ANY /latest/{proxy+}");
    assert_eq!(of("LatestIntegration")["IntegrationUri"], json!({ "Fn::GetAtt": ["Api", "Arn"] }));
    assert_eq!(of("LiveIntegration")["IntegrationUri"], json!({ "Ref": "ApiLive" }));
    for trigger in ["MskTrigger", "KafkaTrigger"] {
        let trigger = of(trigger);
        assert_eq!(trigger["FunctionName"], json!({ "Ref": "WorkerLive" }));
        assert_eq!(trigger["FunctionResponseTypes"], json!(["ReportBatchItemFailures"]));
        assert!(
            trigger["ProvisionedPollerConfig"].is_object(),
            "without it, responses of parts are not read"
        );
        assert!(trigger["DestinationConfig"]["OnFailure"]["Destination"].is_object());
    }
    for trigger in ["MskLatestTrigger", "KafkaLatestTrigger"] {
        assert_eq!(of(trigger)["FunctionName"], json!({ "Fn::GetAtt": ["Worker", "Arn"] }));
        assert!(of(trigger)["Topics"].to_string().contains(".latest"), "a topic of its own");
    }
    assert_eq!(of("Wordlists")["VersioningConfiguration"]["Status"], "Enabled");
    let closed = of("Wordlists")["PublicAccessBlockConfiguration"].as_object().unwrap();
    assert!(closed.len() == 4 && closed.values().all(|value| value == true), "{closed:?}");
    for log in ["ApiLog", "WorkerLog", "MigrateLog", "GatewayLog"] {
        assert!(of(log)["RetentionInDays"].is_object(), "{log}");
    }
    for role in ["ApiRole", "WorkerRole", "MigrateRole"] {
        let policies = of(role)["Policies"].to_string();
        assert!(!policies.contains("\"Action\":\"*\"") && !policies.contains(":*\""), "{role}: {policies}");
        let wide = policies.matches("\"Resource\":\"*\"").count();
        assert!(wide <= usize::from(role == "WorkerRole"), "{role} may do something everywhere: {policies}");
    }
    for parameter in template["Parameters"].as_object().unwrap().values() {
        let text = parameter.to_string().to_lowercase();
        assert!(!text.contains("password") || !text.contains("default\":\"p"), "no secret by default");
    }
}

/// A stack of a test's own in MiniStack.
struct Stack {
    name: String,
    folder: tempfile::TempDir,
    url: String,
}

impl Stack {
    fn aws(&self, arguments: &[&str]) -> Value {
        let output = self.command(&tool("aws/bin/aws")).args(arguments).output().unwrap();
        let text = succeeded(&output);
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("AWS_ENDPOINT_URL", std::env::var("GUILDHALL_TEST_FUNCTIONS").expect("see scripts/services"))
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_CLI", tool("aws/bin/aws"))
            .current_dir(self.folder.path());
        command
    }

    fn release(&self, arguments: &[&str]) -> Output {
        let mut command = self.command(&format!("{ROOT}/scripts/release"));
        command.args(["--stack", &self.name, "--by", "ann", "--live-url", &self.url]);
        command.args(["--latest-url", &format!("{}/latest", self.url)]).args(arguments).output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, arguments: &[&str]) -> String {
        succeeded(&self.release(arguments))
    }

    #[track_caller]
    fn refuses(&self, arguments: &[&str], code: i32, why: &str) {
        refused(&self.release(arguments), code, why);
    }

    fn status(&self) -> Value {
        serde_json::from_str(&self.succeeds(&["status", "--json"])).unwrap()
    }

    async fn version(&self, route: &str) -> Value {
        let url = format!("{}{route}/meta/version", self.url);
        let answer = reqwest::get(url).await.unwrap();
        let header = answer.headers()["x-guildhall-version"].to_str().unwrap().to_owned();
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(body["data"]["version"], header);
        body["data"]["version"].clone()
    }

    /// The program as a package; what stands behind it makes it another one.
    fn package(&self, name: &str) -> String {
        let path = self.folder.path().join(format!("{name}.zip"));
        let script = "import subprocess, sys, zipfile
program, out, name = sys.argv[1:]
subprocess.run(['strip', '-o', out + '.bin', program], check=True)
entry = zipfile.ZipInfo('bootstrap')
entry.external_attr, entry.compress_type = 0o100755 << 16, zipfile.ZIP_DEFLATED
with zipfile.ZipFile(out, 'w', compresslevel=1) as package:
    package.writestr(entry, open(out + '.bin', 'rb').read() + name.encode())";
        let mut python = Command::new("python3");
        succeeded(
            &python
                .args(["-c", script, env!("CARGO_BIN_EXE_guildhall"), path.to_str().unwrap(), name])
                .output()
                .unwrap(),
        );
        path.to_str().unwrap().to_owned()
    }

    /// What CloudWatch does by itself with the lines that functions print: metrics by function and version.
    fn put_metrics_of_logs(&self) {
        let group = format!("/aws/lambda/{}-api", self.name);
        let events = self.aws(&["logs", "filter-log-events", "--log-group-name", &group]);
        let mut data = Vec::new();
        for event in events["events"].as_array().unwrap() {
            let Ok(line) = serde_json::from_str::<Value>(event["message"].as_str().unwrap()) else {
                continue;
            };
            let Some(directive) = line["_aws"]["CloudWatchMetrics"].get(0) else { continue };
            assert_eq!(directive["Namespace"], "Guildhall");
            for metric in directive["Metrics"].as_array().unwrap() {
                let dimensions: Vec<Value> = directive["Dimensions"][1]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|name| json!({ "Name": name, "Value": line[name.as_str().unwrap()] }))
                    .collect();
                let name = &metric["Name"];
                data.push(json!({ "MetricName": name, "Dimensions": dimensions, "Unit": metric["Unit"], "Value": line[name.as_str().unwrap()] }));
            }
        }
        assert!(!data.is_empty(), "the functions printed figures");
        for some in data.chunks(200) {
            self.aws(&[
                "cloudwatch",
                "put-metric-data",
                "--namespace",
                "Guildhall",
                "--metric-data",
                &json!(some).to_string(),
            ]);
        }
    }

    /// The stack as the template has it, but for the one alarm that MiniStack can't make.
    async fn set_up() -> Self {
        let name = format!("test{}", std::process::id());
        let mut stack = Self { name, folder: tempfile::tempdir().unwrap(), url: String::new() };
        let (bucket, secret) = (format!("{}-packages", stack.name), format!("{}-secret", stack.name));
        let database = database::migrated().await;
        let fields = json!({ "DATABASE_URL": database, "GUILDHALL_TOKEN_SECRET": SECRET }).to_string();
        stack.aws(&["secretsmanager", "create-secret", "--name", &secret, "--secret-string", &fields]);
        stack.aws(&["s3api", "create-bucket", "--bucket", &bucket]);
        stack.aws(&["s3", "cp", "--quiet", &stack.package("one"), &format!("s3://{bucket}/one.zip")]);
        let text = template();
        let (head, rest) = text.split_once("  ErrorsByVersion:").unwrap();
        let (dropped, rest) = rest.split_once("  SlowLive:").unwrap();
        assert!(dropped.contains("SELECT SUM(Errors)"), "it is metric math that MiniStack has not");
        let tell = "      AlarmActions: &Tell\n        Fn::If: [TellsAlarms, [!Ref AlarmTopicArn], !Ref AWS::NoValue]";
        let rest = rest.replacen("      AlarmActions: *Tell", tell, 1);
        fs::write(stack.folder.path().join("template.yaml"), format!("{head}  SlowLive:{rest}")).unwrap();
        stack.aws(&[
            "cloudformation",
            "deploy",
            "--template-file",
            "template.yaml",
            "--stack-name",
            &stack.name,
            "--capabilities",
            "CAPABILITY_IAM",
            "CAPABILITY_AUTO_EXPAND",
            "--parameter-overrides",
            &format!("CodeBucket={bucket}"),
            "CodeKey=one.zip",
            "Architecture=x86_64",
            &format!("SecretName={secret}"),
        ]);
        let apis = stack.aws(&["apigatewayv2", "get-apis"]);
        let api =
            apis["Items"].as_array().unwrap().iter().find(|api| api["Name"] == stack.name.as_str()).unwrap();
        let endpoint = std::env::var("GUILDHALL_TEST_FUNCTIONS").unwrap();
        stack.url = format!("{endpoint}/_aws/execute-api/{}/$default", api["ApiId"].as_str().unwrap());
        stack
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stack_serves_and_a_release_goes_to_testers_to_players_and_back() {
    let stack = Stack::set_up().await;
    assert_eq!((stack.version("").await, stack.version("/latest").await), (json!("1"), json!("$LATEST")));

    let token = stack.folder.path().join("token");
    fs::write(&token, server_token()).unwrap();
    let two = stack.package("two");
    assert!(stack.succeeds(&["deploy", "--package", &two]).contains("migrations run: 0"));
    stack.succeeds(&["smoke", "--token-file", token.to_str().unwrap()]);
    assert_eq!(stack.version("").await, "1", "players stay where they are");
    assert!(stack.succeeds(&["deploy", "--package", &two]).contains("has this code already"));
    assert!(stack.succeeds(&["publish"]).contains("published version 2"));
    assert!(
        stack.succeeds(&["publish"]).contains("published version 2"),
        "the same code is the same version"
    );
    let alarms = stack.aws(&[
        "cloudwatch",
        "describe-alarms",
        "--alarm-name-prefix",
        &format!("{}-api-errors-", stack.name),
    ]);
    assert_eq!(alarms["MetricAlarms"][0]["Dimensions"][1]["Value"], "2", "{alarms}");

    stack.succeeds(&["shift", "2", "0.1"]);
    let status = stack.status();
    assert_eq!(
        (&status["live"], &status["next"], &status["weight"]),
        (&json!("1"), &json!("2"), &json!(0.1))
    );
    let stale = status["revision"].as_str().unwrap().to_owned();
    stack.succeeds(&["shift", "2", "0.5"]);
    for (arguments, why) in [
        (&["shift", "2", "1.5"][..], "from 0 to 1"),
        (&["shift", "9", "0.1"], "does not exist"),
        (&["shift", "$LATEST", "0.1"], "publish it first"),
        (&["shift", "2", "0.9", "--revision", &stale], "was changed meanwhile"),
        (&["promote", "9"], "does not exist"),
    ] {
        stack.refuses(arguments, 2, why);
    }
    stack.succeeds(&["promote", "2"]);
    assert_eq!(stack.version("").await, "2");
    assert_eq!(stack.status()["previous"], "1");
    stack.succeeds(&["rollback"]);
    assert_eq!(stack.version("").await, "1", "one command");
    stack.refuses(&["rollback"], 2, "no version to go back to");
    the_worker_answers(&stack);
    let verbs: Vec<String> = fs::read_to_string(stack.folder.path().join("data/releases.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["verb"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        verbs,
        ["deploy", "smoke", "deploy", "publish", "publish", "shift", "shift", "promote", "rollback"]
    );
    figures_are_read(&stack).await;
}

/// By its timer, at the version that is live and at the newest code.
fn the_worker_answers(stack: &Stack) {
    let worker = format!("{}-worker", stack.name);
    for qualifier in ["live", "$LATEST"] {
        let event = stack.folder.path().join("event.json");
        fs::write(&event, include_str!("../events/schedule.json")).unwrap();
        let payload = format!("fileb://{}", event.display());
        let told = stack.aws(&[
            "lambda",
            "invoke",
            "--function-name",
            &worker,
            "--qualifier",
            qualifier,
            "--payload",
            &payload,
            "out.json",
        ]);
        let answer = fs::read_to_string(stack.folder.path().join("out.json")).unwrap();
        assert!(
            told.get("FunctionError").is_none()
                && serde_json::from_str::<Value>(&answer).unwrap()["waiting"] == 0,
            "{told} {answer}"
        );
    }
}

/// Does something within one minute by the clock, again where a minute ended in between: figures are kept by whole minutes,
/// and only those of the present one count.
fn in_one_minute<T>(mut work: impl FnMut() -> T) -> T {
    let minute = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 60;
    loop {
        let (began, done) = (minute(), work());
        if minute() == began {
            return done;
        }
    }
}

/// Fine ones first, then a version whose requests fail.
async fn figures_are_read(stack: &Stack) {
    stack.succeeds(&["shift", "2", "0.5"]);
    for _ in 0..3 {
        stack.version("").await;
    }
    let watched = in_one_minute(|| {
        stack.put_metrics_of_logs();
        stack.release(&["watch", "--seconds", "0", "--min-requests", "1"])
    });
    let watched = succeeded(&watched);
    assert!(watched.contains("1: ") && !watched.contains("1: 0 requests"), "{watched}");
    let dimensions = json!([{ "Name": "function", "Value": format!("{}-api", stack.name) }, { "Name": "version", "Value": "2" }]);
    let bad =
        |name: &str| json!({ "MetricName": name, "Dimensions": dimensions, "Unit": "Count", "Value": 50 });
    let bad = json!([bad("Requests"), bad("Errors")]).to_string();
    let watched = in_one_minute(|| {
        stack.aws(&["cloudwatch", "put-metric-data", "--namespace", "Guildhall", "--metric-data", &bad]);
        stack.release(&["watch", "--seconds", "0"])
    });
    refused(&watched, 3, "of its requests fail");
}
