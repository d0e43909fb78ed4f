"""What releasing is on any platform: refusals, the release log, the smoke test, and the judgement on a new version."""

import datetime
import json
import os
import pathlib
import time
import urllib.error
import urllib.request

LATEST = "$LATEST"


class Refused(Exception):
    """What must not be done, with the reason."""


class Missed(Exception):
    """Something that was to hold does not: a smoke test, a hash, a threshold."""


class Ended(Missed):
    """A program that is to run has ended."""


def say(text):
    print(text, flush=True)


class Log:
    """One JSON line for everything that was done to players."""

    def __init__(self, path, by):
        self.path, self.by = pathlib.Path(path), by

    def note(self, verb, **fields):
        line = {
            "at": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "by": self.by,
            "verb": verb,
            **fields,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as log:
            log.write(json.dumps(line) + "\n")

    def last(self, count):
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text().splitlines()[-count:]]


def check_shift(state, version, weight, revision):
    """Refuses what Lambda would refuse, so that plain servers and emulators do so too."""
    if not 0 <= weight <= 1:
        raise Refused(f"a weight is from 0 to 1, not {weight}")
    if version == LATEST:
        raise Refused(f"{LATEST} changes with every deployment and gets no share of players; publish it first")
    if version not in state["versions"]:
        raise Refused(f"version {version} does not exist; there are: {', '.join(state['versions']) or 'none'}")
    check_revision(state, revision)


def check_revision(state, revision):
    """Refuses where somebody else was faster."""
    if revision is not None and revision != state["revision"]:
        raise Refused(f"the alias was changed meanwhile: its revision is {state['revision']}, not {revision}")


def request(url, path, token=None, body=None, timeout=15):
    """Status, headers, JSON."""
    call = urllib.request.Request(url.rstrip("/") + path)
    if token:
        call.add_header("authorization", f"Bearer {token}")
    if body is not None:
        call.add_header("content-type", "application/json")
        call.data = json.dumps(body).encode()
    try:
        with urllib.request.urlopen(call, timeout=timeout) as answer:
            return answer.status, answer.headers, json.loads(answer.read())
    except urllib.error.HTTPError as answer:
        text = answer.read()
        try:
            return answer.code, answer.headers, json.loads(text)
        except ValueError:
            raise Missed(f"{path} answers {answer.code} and no JSON: {text[:200]!r}") from None
    except (OSError, ValueError) as fault:
        raise Missed(f"{url}{path}: {fault}") from None


def smoke(url, build, version, token=None):
    """The few requests that tell a working deployment from a broken one. Raises at the first that does not hold."""

    def hold(what, holds, seen):
        if not holds:
            raise Missed(f"smoke test at {url}: {what}; seen: {seen}")
        say(f"  ok  {what}")

    status, headers, about = request(url, "/meta/version")
    hold(f"the version is {version}", headers.get("x-guildhall-version") == version, headers.get("x-guildhall-version"))
    if build:
        hold(f"the build is {build}", about["data"]["build"] == build, about["data"])
    status, headers, ready = request(url, "/health/ready")
    hold("it can do its work", status == 200, ready)
    status, _, missing = request(url, "/nowhere/at-all")
    hold("unknown paths are 404 in the one shape", status == 404 and missing["error"]["code"] == "not_found", missing)
    status, _, closed = request(url, "/channel/inbox")
    hold("without a token it is 401", status == 401 and closed["error"]["code"] == "unauthenticated", closed)
    status, headers, document = request(url, "/meta/openapi")
    hold("it describes itself", status == 200 and "/message/send" in document["data"]["paths"], status)
    if token:
        channel = {"id": "release-smoke", "kind": "system"}
        status, _, made = request(url, "/channel/create", token, channel)
        hold("the server makes a channel, or has it already", status == 200, made)
        said = {"channel": "release-smoke", "text": f"smoke test of {build or version}", "nonce": f"smoke-{time.time_ns()}"}
        status, _, sent = request(url, "/message/send", token, said)
        hold("a message is stored", status == 200, sent)
        status, _, again = request(url, "/message/send", token, said)
        hold("its retry is the same message", again.get("data", {}).get("replayed") is True, again)
        seq = sent["data"]["message"]["seq"]
        status, _, page = request(url, f"/message/list?channel=release-smoke&after={seq - 1}", token)
        hold("and it is read back", page.get("data", {}).get("messages", [{}])[0].get("seq") == seq, page)


def await_ready(url, has_ended, log, seconds=30):
    """Waits for an instance that is starting, as long as it has not ended. `log` gives the last lines it wrote."""
    end = time.monotonic() + seconds
    while True:
        try:
            status, _, seen = request(url, "/health/ready", timeout=2)
            if status == 200:
                return
        except Missed as fault:
            seen = fault
        if has_ended():
            raise Ended(f"{url}: the program has ended; {log()}")
        if time.monotonic() > end:
            raise Missed(f"{url} is not ready after {seconds} s: {seen}; {log()}")
        time.sleep(0.1)


class Thresholds:
    """How much worse than the old version a new one may be."""

    def __init__(self, min_requests=20, error_factor=2.0, error_floor=0.01, slow_factor=1.5, slow_ms=50.0):
        self.min_requests, self.error_factor, self.error_floor = min_requests, error_factor, error_floor
        self.slow_factor, self.slow_ms = slow_factor, slow_ms

    def judge(self, old, new):
        """Why the new version must go, or None. Both are dicts of requests, errors and p99_ms.

        >>> fine = {"requests": 1000, "errors": 1, "p99_ms": 20.0}
        >>> Thresholds().judge(fine, fine)
        >>> Thresholds().judge(fine, {"requests": 100, "errors": 5, "p99_ms": 20.0})
        '5.0% of its requests fail, allowed are 1.0%'
        >>> Thresholds().judge({**fine, "errors": 100}, {"requests": 100, "errors": 15, "p99_ms": 20.0})
        >>> Thresholds().judge(fine, {"requests": 100, "errors": 0, "p99_ms": 81.0})
        'its p99 is 81 ms, allowed are 80'
        >>> Thresholds().judge(fine, {"requests": 100, "errors": 0, "p99_ms": 79.0})

        One failed request says nothing, and neither do too few requests, or an old version without figures:

        >>> Thresholds().judge(fine, {"requests": 20, "errors": 1, "p99_ms": 20.0})
        >>> Thresholds().judge(fine, {"requests": 19, "errors": 19, "p99_ms": 20.0})
        >>> Thresholds().judge({"requests": 0, "errors": 0, "p99_ms": None}, {"requests": 100, "errors": 0, "p99_ms": 900.0})

        Neither does one slow request: of fewer than a hundred, the p99 is the slowest.

        >>> Thresholds().judge(fine, {"requests": 99, "errors": 0, "p99_ms": 900.0})
        """
        if new["requests"] < self.min_requests:
            return None
        rate = lambda figures: figures["errors"] / figures["requests"] if figures["requests"] else 0.0
        allowed = max(rate(old) * self.error_factor, self.error_floor)
        if rate(new) > allowed and new["errors"] > 1:
            return f"{rate(new):.1%} of its requests fail, allowed are {allowed:.1%}"
        enough = new["requests"] >= 100 and old["requests"] >= self.min_requests
        if enough and old["p99_ms"] is not None and new["p99_ms"] is not None:
            allowed = old["p99_ms"] * self.slow_factor + self.slow_ms
            if new["p99_ms"] > allowed:
                return f"its p99 is {new['p99_ms']:.0f} ms, allowed are {allowed:.0f}"
        return None


def describe(figures):
    p99 = "-" if figures["p99_ms"] is None else f"{figures['p99_ms']:.1f} ms"
    return f"{figures['requests']} requests, {figures['errors']} errors, p99 {p99}"


def watch(target, old, new, seconds, thresholds):
    """Compares two versions for a while; ends early where the new one is past a threshold. Says whether it was judged."""
    began = time.time()
    while True:
        left = began + seconds - time.time()
        time.sleep(max(0.0, min(left, 5.0)))
        figures = {version: target.figures(version, began) for version in (old, new)}
        say(f"  {old}: {describe(figures[old])}   |   {new}: {describe(figures[new])}")
        why = thresholds.judge(figures[old], figures[new])
        if why:
            raise Missed(f"version {new} is past a threshold: {why}")
        if left <= 0:
            judged = figures[new]["requests"] >= thresholds.min_requests
            if not judged:
                say(f"  too few requests reached version {new} to judge it ({thresholds.min_requests} are needed)")
            return judged


def write_atomically(path, text):
    """A reader sees the old file or the new one."""
    path = pathlib.Path(path)
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    os.replace(new, path)
