# Guildhall on Tencent Cloud: a web function for requests, an event function for tasks, Function URLs for players and for
# testers, CKafka and timer triggers, and the wordlists' bucket.
#
# Tencent's API Gateway is gone; a Function URL belongs to one version or alias, so there are two: players' on the alias
# `live`, testers' on $LATEST. Moving `live` to another version is `terraform apply -var live_version=N`.
# Not validated by the tests: terraform and its provider can't be had there. docs/operations.md has the first steps.

terraform {
  required_version = ">= 1.5"
  required_providers {
    tencentcloud = {
      source  = "tencentcloudstack/tencentcloud"
      version = ">= 1.82"
    }
  }
}

variable "region" { type = string }
variable "name" {
  type    = string
  default = "guildhall"
}
variable "package" {
  type        = string
  description = "guildhall-scf.zip, as scripts/package builds it"
  default     = "../../target/package/guildhall-scf.zip"
}
variable "live_version" {
  type        = string
  description = "The version that players reach"
  default     = "1"
}
variable "next_version" {
  type        = string
  description = "A second version that gets a share of the players' requests; empty for none"
  default     = ""
}
variable "next_weight" {
  type        = number
  description = "That share, 0 to 1"
  default     = 0
  validation {
    condition     = var.next_weight >= 0 && var.next_weight <= 1
    error_message = "next_weight is a share, 0 to 1."
  }
}
variable "database_url" {
  type      = string
  sensitive = true
}
variable "token_secret" {
  type        = string
  sensitive   = true
  description = "32 bytes or more"
}
variable "vpc_id" { type = string }
variable "subnet_id" {
  type        = string
  description = "A subnet of the functions' own, whose route to the outside is a NAT gateway of its own"
}
variable "ckafka" {
  description = "The CKafka instance and its two topics; null where tasks wait for the timer"
  type = object({
    brokers         = string
    instance_id     = string
    topic           = string
    topic_id        = string
    latest_topic_id = string
  })
  default = null
}
variable "wordlists_bucket" {
  type        = string
  description = "Name of the bucket, with the appid behind it: words-1251234567"
}
variable "wordlists_secret_id" {
  type      = string
  sensitive = true
}
variable "wordlists_secret_key" {
  type      = string
  sensitive = true
}

provider "tencentcloud" { region = var.region }

locals {
  environment = {
    DATABASE_URL                   = var.database_url
    GUILDHALL_DATABASE_CONNECTIONS = "2"
    GUILDHALL_TOKEN_SECRET         = var.token_secret
    GUILDHALL_WORDLISTS            = "s3://${var.wordlists_bucket}/lists"
    S3_ENDPOINT                    = "https://cos.${var.region}.myqcloud.com"
    AWS_REGION                     = var.region
    AWS_ACCESS_KEY_ID              = var.wordlists_secret_id
    AWS_SECRET_ACCESS_KEY          = var.wordlists_secret_key
    KAFKA_BROKERS                  = var.ckafka == null ? "" : var.ckafka.brokers
    GUILDHALL_TOPIC                = var.ckafka == null ? "guildhall.tasks" : var.ckafka.topic
  }
}

resource "tencentcloud_cos_bucket" "wordlists" {
  bucket            = var.wordlists_bucket
  acl               = "private"
  versioning_enable = true
}

resource "tencentcloud_scf_function" "api" {
  name              = "${var.name}-api"
  func_type         = "HTTP" # scf_bootstrap starts a server on port 9000
  runtime           = "CustomRuntime"
  handler           = "scf_bootstrap"
  zip_file          = var.package
  mem_size          = 256
  timeout           = 12
  vpc_id            = var.vpc_id
  subnet_id         = var.subnet_id
  enable_public_net = false
  environment       = local.environment
}

resource "tencentcloud_scf_function" "worker" {
  name              = "${var.name}-worker"
  func_type         = "Event" # bootstrap asks the platform for events
  runtime           = "CustomRuntime"
  handler           = "worker"
  zip_file          = var.package
  mem_size          = 256
  timeout           = 300
  vpc_id            = var.vpc_id
  subnet_id         = var.subnet_id
  enable_public_net = false
  environment       = local.environment
}

# Each apply with another package publishes a version; published ones never change.
resource "tencentcloud_scf_function_version" "api" {
  function_name = tencentcloud_scf_function.api.name
  namespace     = "default"
  description   = filesha256(var.package)
}

resource "tencentcloud_scf_function_version" "worker" {
  function_name = tencentcloud_scf_function.worker.name
  namespace     = "default"
  description   = filesha256(var.package)
}

resource "tencentcloud_scf_function_alias" "api" {
  name             = "live"
  function_name    = tencentcloud_scf_function.api.name
  namespace        = "default"
  function_version = var.live_version
  dynamic "routing_config" {
    for_each = var.next_version == "" ? [] : [1]
    content {
      additional_version_weights {
        version = var.next_version
        weight  = var.next_weight
      }
    }
  }
  depends_on = [tencentcloud_scf_function_version.api]
}

resource "tencentcloud_scf_function_alias" "worker" {
  name             = "live"
  function_name    = tencentcloud_scf_function.worker.name
  namespace        = "default"
  function_version = var.next_version == "" ? var.live_version : var.next_version # the newer one knows both versions' tasks
  depends_on       = [tencentcloud_scf_function_version.worker]
}

# One URL for players, one for testers.
resource "tencentcloud_scf_trigger" "url" {
  for_each      = { live = "live", latest = "$LATEST" }
  function_name = tencentcloud_scf_function.api.name
  namespace     = "default"
  trigger_name  = "url-${each.key}"
  type          = "http"
  qualifier     = each.value
  enable        = "OPEN"
  trigger_desc = jsonencode({
    AuthType  = "NONE"
    NetConfig = { EnableIntranet = true, EnableExtranet = true }
  })
  depends_on = [tencentcloud_scf_function_alias.api]
}

# What is due, and what was left lying: every minute, on both.
resource "tencentcloud_scf_trigger" "timer" {
  for_each      = { live = "live", latest = "$LATEST" }
  function_name = tencentcloud_scf_function.worker.name
  namespace     = "default"
  trigger_name  = "timer-${each.key}"
  type          = "timer"
  qualifier     = each.value
  enable        = "OPEN"
  trigger_desc  = "0 */1 * * * * *"
  depends_on    = [tencentcloud_scf_function_alias.worker]
}

# Each with a topic of its own, so that what testers cause never reaches the live worker.
resource "tencentcloud_scf_trigger" "tasks" {
  for_each = var.ckafka == null ? {} : {
    live   = { qualifier = "live", topic = var.ckafka.topic, topic_id = var.ckafka.topic_id }
    latest = { qualifier = "$LATEST", topic = "${var.ckafka.topic}.latest", topic_id = var.ckafka.latest_topic_id }
  }
  function_name = tencentcloud_scf_function.worker.name
  namespace     = "default"
  trigger_name  = "${var.ckafka.instance_id}-${each.key}"
  type          = "ckafka"
  qualifier     = each.value.qualifier
  enable        = "OPEN"
  trigger_desc = jsonencode({
    instanceId        = var.ckafka.instance_id
    topicName         = each.value.topic
    topicId           = each.value.topic_id
    consumerGroupName = "${each.value.topic}.workers"
    maxMsgNum         = 100
    offset            = "earliest"
    retry             = 10000
    timeOut           = 5
    isInSequence      = "Yes"
  })
  depends_on = [tencentcloud_scf_function_alias.worker]
}
