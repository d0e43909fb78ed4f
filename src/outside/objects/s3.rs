//! Objects in a bucket: AWS S3, or any storage that speaks its protocol (COS, `MinIO`, R2).
//!
//! Bounded in time and size; credentials and region come from the SDK's own variables, profiles and roles.

use std::time::Duration;

use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{RequestChecksumCalculation, ResponseChecksumValidation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;

use super::{Found, PutError, When};
use crate::config::S3Config;

/// A wordlist's check may happen within a request, so a storage that does not answer must not hold it long.
const CONNECT: Duration = Duration::from_secs(1);
const ATTEMPT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(6);
/// Region of a storage that is not AWS's where the platform names none: any will do.
const ANY_REGION: &str = "us-east-1";

#[derive(Clone, Debug)]
pub(super) struct Bucket {
    client: Client,
    bucket: String,
    prefix: String,
}

impl Bucket {
    pub(super) async fn new(bucket: &str, prefix: &str, config: &S3Config) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(WHOLE)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(2));
        if let Some(region) = &config.region {
            loader = loader.region(Region::new(region.clone()));
        } else if config.endpoint.is_some() {
            loader = loader.region(Region::from_static(ANY_REGION));
        }
        if let Some(endpoint) = &config.endpoint {
            loader = loader.endpoint_url(endpoint.as_str().trim_end_matches('/'));
        }
        let config = aws_sdk_s3::config::Builder::from(&loader.load().await)
            .force_path_style(config.path_style)
            // Lists are checked by their own hash; other storages don't know these headers.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .build();
        Self { client: Client::from_conf(config), bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(super) async fn get(&self, name: &str, limit: usize, known: Option<&str>) -> Result<Found, String> {
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(name));
        let answer = match request.set_if_none_match(known.map(str::to_owned)).send().await {
            Ok(answer) => answer,
            // The SDK takes this status for an error.
            Err(error) if status(&error) == Some(304) => return Ok(Found::Same),
            Err(error) if error.code() == Some("NoSuchKey") => return Ok(Found::Missing),
            Err(error) => return Err(fault_text(error)),
        };
        let too_large = |bytes: i64| format!("has {bytes} bytes, more than {limit}");
        if let Some(length) = answer.content_length().filter(|length| length.unsigned_abs() > limit as u64) {
            return Err(too_large(length));
        }
        let tag = answer.e_tag().unwrap_or_default().to_owned();
        let mut bytes = Vec::new();
        let mut body = answer.body;
        let read = async {
            while let Some(part) = body.try_next().await.map_err(|fault| fault.to_string())? {
                bytes.extend_from_slice(&part);
                if bytes.len() > limit {
                    return Err(too_large(bytes.len() as i64));
                }
            }
            Ok(())
        };
        // The SDK's times end with the head.
        tokio::time::timeout(WHOLE, read).await.map_err(|_| "did not come in time".to_owned())??;
        Ok(Found::Object { bytes, tag })
    }

    pub(super) async fn put(&self, name: &str, bytes: Vec<u8>, when: When<'_>) -> Result<(), PutError> {
        let request = self
            .client
            .put_object()
            .bucket(&self.bucket)
            .key(self.key(name))
            .content_type("application/json")
            .body(ByteStream::from(bytes));
        let request = match when {
            When::Always => request,
            When::Still(Some(tag)) => request.if_match(tag),
            When::Still(None) => request.if_none_match("*"),
        };
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if matches!(status(&error), Some(409 | 412)) => Err(PutError::Changed),
            Err(error) => Err(PutError::Fault(fault_text(error))),
        }
    }

    pub(super) async fn link(&self, name: &str, for_time: Duration) -> Result<String, String> {
        let ends = PresigningConfig::expires_in(for_time).map_err(|fault| fault.to_string())?;
        let request = self.client.get_object().bucket(&self.bucket).key(self.key(name));
        request.presigned(ends).await.map(|request| request.uri().to_owned()).map_err(fault_text)
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<String>, String> {
        let request =
            self.client.list_objects_v2().bucket(&self.bucket).prefix(self.key(&format!("{prefix}/")));
        let mut pages = request.into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(fault_text)?;
            let keys = page.contents().iter().filter_map(|object| object.key());
            names.extend(keys.filter_map(|key| key.strip_prefix(&self.prefix)).map(str::to_owned));
        }
        names.sort();
        Ok(names)
    }
}

fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

/// Returns the storage's own message, or else the whole chain of causes: "service error" alone helps nobody.
fn fault_text<E>(error: SdkError<E>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    if let Some(code) = error.code() {
        let status = status(&error).map(|status| format!("status {status}, ")).unwrap_or_default();
        return format!("{status}{code}: {}", error.message().unwrap_or("no more is said"));
    }
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(fault) = cause {
        said = format!("{said}: {fault}");
        cause = fault.source();
    }
    said
}
