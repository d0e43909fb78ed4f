//! The worker in Tencent's event functions. Their runtime can't be had outside their cloud, so a mock of it stands here.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;

use crate::help::SECRET;
use crate::help::process::{eventually, program};

type Said = Arc<Mutex<Vec<(String, String)>>>;

/// Gives these events one after the other, and keeps what is said to it.
async fn mock_runtime(events: Vec<&'static str>) -> (u16, Said) {
    let (said, events) = (Said::default(), Arc::new(Mutex::new(events.into_iter())));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let kept = Arc::clone(&said);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (said, events) = (Arc::clone(&kept), Arc::clone(&events));
            let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let (said, events) = (Arc::clone(&said), Arc::clone(&events));
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    if path != "/runtime/invocation/next" {
                        assert!(!body.is_empty(), "the platform refuses an empty body at {path}");
                        said.lock().unwrap().push((path, String::from_utf8(body.to_vec()).unwrap()));
                        return Ok::<_, std::convert::Infallible>(http::Response::new(Full::default()));
                    }
                    let next = events.lock().unwrap().next();
                    let Some(event) = next else { return std::future::pending().await };
                    let answer = http::Response::builder()
                        .header("Time_Limit_In_Ms", "60000")
                        .header("Request_Id", "r");
                    Ok(answer.body(Full::new(Bytes::from(event))).unwrap())
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (port, said)
}

#[tokio::test(flavor = "multi_thread")]
async fn events_of_a_mock_scf_runtime_are_answered_one_by_one() {
    let events = vec![
        include_str!("../events/scf_timer.json"),
        "{ no json",
        r#"{ "unknown": 1 }"#,
        r#"{ "task": "retention.v1" }"#,
    ];
    let (port, said) = mock_runtime(events).await;
    let folder = tempfile::tempdir().unwrap();
    let mut worker = program(folder.path())
        .arg("worker")
        .env("SCF_RUNTIME_API", "127.0.0.1")
        .env("SCF_RUNTIME_API_PORT", port.to_string())
        .env("SCF_FUNCTIONVERSION", "3")
        .env("GUILDHALL_TOKEN_SECRET", SECRET)
        .env("GUILDHALL_DATA", folder.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = eventually("all answers", async || {
        let said = said.lock().unwrap().clone();
        (said.len() == 5).then_some(said)
    })
    .await;
    let paths: Vec<&str> = said.iter().map(|(path, _)| path.as_str()).collect();
    let (ready, response, error) =
        ("/runtime/init/ready", "/runtime/invocation/response", "/runtime/invocation/error");
    assert_eq!(paths, [ready, response, error, error, response], "{said:?}");
    assert!(said[1].1.contains("\"waiting\":0"), "{said:?}");
    assert!(said[2].1.contains("no JSON") && said[3].1.contains("the fields unknown"), "{said:?}");
    assert!(said[4].1.contains("\"state\":\"done\""), "{said:?}");
    kill(Pid::from_raw(worker.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(worker.wait().unwrap().success());
}
