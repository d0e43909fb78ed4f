"""Releasing on AWS Lambda, by the aws command line: versions, the alias `live`, CloudWatch's figures and alarms."""

import base64
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

from releasing.common import Missed, Refused, request, say

ALIAS = "live"


class Aws:
    """One stack's functions."""

    name = "aws"

    def __init__(self, stack, live_url=None, latest_url=None, alarm_topic=None):
        self.stack, self.alarm_topic = stack, alarm_topic
        self.api, self.worker, self.migrations = (f"{stack}-{role}" for role in ("api", "worker", "migrate"))
        self._live_url, self._latest_url = live_url, latest_url

    # -- the command line ------------------------------------------------------------------------------------------

    def aws(self, *arguments):
        command = [os.environ.get("AWS_CLI", "aws"), *arguments, "--output", "json"]
        environment = {**os.environ, "AWS_PAGER": ""}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            fault = done.stderr.strip()
            kind = re.search(r"\((\w+)\)", fault)
            kinds = ("PreconditionFailedException", "InvalidParameterValueException", "ValidationException")
            refused = kind and kind.group(1) in kinds
            raise (Refused if refused else Missed)(f"aws {' '.join(arguments[:2])}: {fault.splitlines()[-1] if fault else done.returncode}")
        return json.loads(done.stdout) if done.stdout.strip() else {}

    def _function(self, name):
        return self.aws("lambda", "get-function-configuration", "--function-name", name)

    def _exists(self, name):
        try:
            self._function(name)
        except Missed as fault:
            if "ResourceNotFound" in str(fault) or "not found" in str(fault).lower():
                return False
            raise
        return True

    # -- where it is -----------------------------------------------------------------------------------------------

    def _output(self, name):
        stacks = self.aws("cloudformation", "describe-stacks", "--stack-name", self.stack)["Stacks"]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
        if name not in outputs:
            raise Missed(f"the stack {self.stack} has no output {name}; give the address by an option")
        return outputs[name]

    def live_url(self):
        return self._live_url or self._output("LiveUrl")

    def latest_url(self):
        return self._latest_url or self._output("LatestUrl")

    def state(self):
        alias = self.aws("lambda", "get-alias", "--function-name", self.api, "--name", ALIAS)
        weights = (alias.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        following, weight = next(iter(weights.items()), (None, 0.0))
        previous = re.search(r"previous=(\d+)", alias.get("Description") or "")
        versions = {}
        for listed in self._versions(self.api):
            if listed["Version"] != "$LATEST":
                versions[listed["Version"]] = {"sha256": listed["CodeSha256"], "description": listed.get("Description", "")}
        return {
            "live": alias["FunctionVersion"],
            "next": following,
            "weight": weight,
            "previous": previous.group(1) if previous else None,
            "revision": alias["RevisionId"],
            "versions": versions,
            "latest": {"sha256": self._function(self.api)["CodeSha256"]},
        }

    def _versions(self, name):
        return self.aws("lambda", "list-versions-by-function", "--function-name", name)["Versions"]

    # -- verbs -----------------------------------------------------------------------------------------------------

    def default_package(self):
        architecture = self._function(self.api).get("Architectures", ["arm64"])[0]
        return pathlib.Path(f"target/package/guildhall-lambda-{architecture}.zip")

    def deploy(self, package):
        """The package to $LATEST of all functions, tables first. Players notice nothing."""
        sha256 = base64.b64encode(hashlib.sha256(package.read_bytes()).digest()).decode()
        for name in (self.migrations, self.worker, self.api):
            if name == self.migrations and not self._exists(name):
                say(f"  {name} does not exist: run `guildhall migrate` where the database can be reached")
                continue
            now = self._function(name)
            if now["CodeSha256"] == sha256:
                say(f"  {name}: has this code already")
            else:
                self.aws(
                    "lambda", "update-function-code", "--function-name", name,
                    "--zip-file", f"fileb://{package.resolve()}", "--revision-id", now["RevisionId"],
                )
                self.aws("lambda", "wait", "function-updated-v2", "--function-name", name)
                found = self._function(name)["CodeSha256"]
                if found != sha256:
                    raise Missed(f"{name} has code {found}, not {sha256} that was sent")
                say(f"  {name}: $LATEST is now {sha256[:12]}")
            if name == self.migrations:
                say(f"  migrations run: {self._invoke(name)['migrations']}")
        return sha256

    def _invoke(self, name):
        # From a file, as the command line's versions read a payload on it differently.
        with tempfile.NamedTemporaryFile("w+") as event, tempfile.NamedTemporaryFile("r") as out:
            event.write("{}")
            event.flush()
            told = self.aws("lambda", "invoke", "--function-name", name, "--payload", f"fileb://{event.name}", out.name)
            answer = json.loads(out.read() or "null")
        if told.get("FunctionError") or not isinstance(answer, dict):
            raise Missed(f"{name}: {answer}")
        return answer

    def publish(self, build):
        """An immutable version of what is at $LATEST; of the same code, the version that there is."""
        versions = {}
        for name in (self.worker, self.api):
            now = self._function(name)
            description = build or ""
            if name == self.api:
                description = f"{description} worker={versions[self.worker]}".strip()
            made = self.aws(
                "lambda", "publish-version", "--function-name", name, "--code-sha256", now["CodeSha256"],
                "--revision-id", now["RevisionId"], "--description", description,
            )
            if made["CodeSha256"] != now["CodeSha256"]:
                raise Missed(f"{name}: version {made['Version']} has other code than $LATEST")
            versions[name] = made["Version"]
        self._put_alarms(versions[self.api])
        return versions[self.api]

    def set_live(self, state, live, following, weight, previous):
        """What players reach; refused where the alias is no longer as `state` has it."""
        # The worker goes first: the newer one knows both versions' tasks.
        self._set_worker(state, following or live)
        routing = {"AdditionalVersionWeights": {following: weight} if following else {}}
        self.aws(
            "lambda", "update-alias", "--function-name", self.api, "--name", ALIAS, "--function-version", live,
            "--routing-config", json.dumps(routing), "--description", f"previous={previous}" if previous else "",
            "--revision-id", state["revision"],
        )

    def _set_worker(self, state, version):
        described = re.search(r"worker=(\d+)", state["versions"][version]["description"])
        if described:
            alias = self.aws("lambda", "get-alias", "--function-name", self.worker, "--name", ALIAS)
            if alias["FunctionVersion"] != described.group(1):
                self.aws("lambda", "update-alias", "--function-name", self.worker, "--name", ALIAS,
                         "--function-version", described.group(1), "--revision-id", alias["RevisionId"])

    def retire(self, keep):
        """Versions stay, as they cost nothing; the alarms of those that nobody uses go."""
        unused = [version for version in self.state()["versions"] if version not in keep]
        if unused:
            names = [name for version in unused for name, *_ in self._alarms(version)]
            self.aws("cloudwatch", "delete-alarms", "--alarm-names", *names)

    # -- figures ---------------------------------------------------------------------------------------------------

    def _dimensions(self, version):
        return [{"Name": "function", "Value": self.api}, {"Name": "version", "Value": version}]

    def figures(self, version, since):
        """What the functions said of themselves, as CloudWatch has it: by whole minutes, and a minute late."""
        def query(name, metric, statistic):
            metric = {"Namespace": "Guildhall", "MetricName": metric, "Dimensions": self._dimensions(version)}
            return {"Id": name, "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}}

        queries = [query("requests", "Requests", "Sum"), query("errors", "Errors", "Sum"), query("slow", "Duration", "p99")]
        found = self.aws(
            "cloudwatch", "get-metric-data", "--metric-data-queries", json.dumps(queries),
            "--start-time", str(int(since) // 60 * 60), "--end-time", str(int(time.time()) + 60),
        )
        values = {result["Id"]: result["Values"] for result in found["MetricDataResults"]}
        return {
            "requests": int(sum(values.get("requests", []))),
            "errors": int(sum(values.get("errors", []))),
            "p99_ms": max(values["slow"]) if values.get("slow") else None,
        }

    def _alarms(self, version):
        yield f"{self.api}-errors-{version}", "Errors", ["--statistic", "Sum"], "5"
        yield f"{self.api}-slow-{version}", "Duration", ["--extended-statistic", "p99"], "300"

    def _put_alarms(self, version):
        for name, metric, statistic, threshold in self._alarms(version):
            dimensions = [f"Name={one['Name']},Value={one['Value']}" for one in self._dimensions(version)]
            tell = ["--alarm-actions", self.alarm_topic] if self.alarm_topic else []
            self.aws(
                "cloudwatch", "put-metric-alarm", "--alarm-name", name, "--namespace", "Guildhall", "--metric-name", metric,
                "--dimensions", *dimensions, *statistic, "--period", "60", "--evaluation-periods", "5",
                "--datapoints-to-alarm", "3", "--comparison-operator", "GreaterThanThreshold", "--threshold", threshold,
                "--treat-missing-data", "notBreaching", *tell,
            )

    def build_of_latest(self):
        return request(self.latest_url(), "/meta/version")[2]["data"]["build"]
