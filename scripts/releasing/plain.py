"""Releasing on a plain server: each version a process of its own, nginx in front, the same verbs as on Lambda.

A folder holds it all: versions/NAME/{guildhall,env}, nginx/{guildhall,routes}.conf, env (settings that all versions
share) and state.json, which says what players reach.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from releasing.common import LATEST, Ended, Missed, Refused, await_ready, check_revision, say, write_atomically

# They take as long as nobody says anything, which is no sign of a slow version.
WAITING = ("/message/sync", "/live/socket")
LOG_TAIL_BYTES = 16 * 1024 * 1024
# nginx takes this long at most to notice the new routes, and its old workers to end what they had begun.
HANDOVER_S = 1.5
WORKER = "worker"
# So often a program is started that ends before it is ready: its database may have been away for a moment.
STARTS = 3

NGINX = """# A whole nginx for guildhall.conf alone, where the system runs none.
worker_processes 2;
daemon on;
pid {root}/nginx/nginx.pid;
error_log {root}/nginx/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {root}/nginx/body;
  proxy_temp_path {root}/nginx/proxy;
  fastcgi_temp_path {root}/nginx/fastcgi;
  uwsgi_temp_path {root}/nginx/uwsgi;
  scgi_temp_path {root}/nginx/scgi;
  include {root}/nginx/guildhall.conf;
}}
"""


class Plain:
    """One server's versions."""

    name = "plain"

    def __init__(self, root):
        self.root = pathlib.Path(root).resolve()
        self.file = self.root / "state.json"

    # -- state -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _locked(self):
        """One release at a time."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Refused(f"another release is at work in {self.root}") from None
            yield

    def _read(self):
        if not self.file.exists():
            raise Refused(f"nothing is set up in {self.root}: run `scripts/release --target plain --root {self.root} init`")
        return json.loads(self.file.read_text())

    def _write(self, state):
        state["revision"] = str(int(state["revision"]) + 1)
        write_atomically(self.file, json.dumps(state, indent=2) + "\n")

    def state(self):
        return self._read()

    def live_url(self):
        return f"http://{self._read()['listen']}"

    def latest_url(self):
        return self.live_url() + "/latest"

    def build_of_latest(self):
        return (self._read()["latest"] or {}).get("build")

    def default_package(self):
        machine = "arm64" if os.uname().machine in ("aarch64", "arm64") else "x86_64"
        return pathlib.Path(f"target/package/guildhall-linux-{machine}")

    # -- set up ----------------------------------------------------------------------------------------------------

    def init(self, listen, first_port, runner, nginx):
        with self._locked():
            if self.file.exists():
                say(f"  {self.root} is set up already")
                return
            (self.root / "nginx").mkdir(parents=True, exist_ok=True)
            (self.root / "versions").mkdir(exist_ok=True)
            if not (self.root / "env").exists():
                (self.root / "env").touch(mode=0o600)
                say(f"  put the settings into {self.root}/env: DATABASE_URL, GUILDHALL_TOKEN_SECRET, …")
            template = pathlib.Path(__file__).parents[2] / "deploy/nginx/guildhall.conf"
            text = template.read_text().replace("@ROOT@", str(self.root)).replace("@LISTEN@", listen)
            (self.root / "nginx/guildhall.conf").write_text(text)
            (self.root / "nginx/nginx.conf").write_text(NGINX.format(root=self.root))
            state = {
                "revision": "0", "live": None, "next": None, "weight": 0.0, "previous": None, "versions": {}, "latest": None,
                "listen": listen, "first_port": first_port, "runner": runner, "nginx": nginx,
            }
            self._routes(state)
            self._write(state)
            if runner == "process":
                self._nginx(state)
                say(f"  nginx listens on {listen}")
            else:
                say(f"  include {self.root}/nginx/guildhall.conf in nginx's http block, and reload it")

    def stop(self):
        """Ends everything that was started here; for tests, and for a server that is given up."""
        with self._locked():
            state = self._read()
            for name in os.listdir(self.root / "versions"):
                self._stop(state, name)
            if state["runner"] == "process":
                self._nginx(state, "-s", "quit")

    # -- nginx -----------------------------------------------------------------------------------------------------

    def _nginx(self, state, *arguments):
        own = ["-p", str(self.root / "nginx"), "-c", str(self.root / "nginx/nginx.conf"),
               "-e", str(self.root / "nginx/error.log")] if state["runner"] == "process" else []
        done = subprocess.run([state["nginx"], *own, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Missed(f"nginx {' '.join(arguments)}: {done.stderr.strip()}")

    def _routes(self, state):
        """What players and testers reach, for nginx."""
        live, following, weight = state["live"], state["next"], state["weight"]
        running = [version for version in (live, following, state["previous"]) if version]
        lines = ["# Written by scripts/release with every step; don't edit.",
                 "# A client's own request id, if it is one; else ours.",
                 "map $http_x_request_id $guildhall_request_id {",
                 '  default $request_id;',
                 '  "~^[A-Za-z0-9_.:=+/-]{1,128}$" $http_x_request_id;',
                 "}",
                 "# By a number of nginx's own, which no client chooses.",
                 'split_clients "$request_id" $guildhall_live {']
        if following and weight >= 1:
            lines += [f'  * "{following}";']
        elif following and weight > 0:
            lines += [f'  {weight * 100:.2f}% "{following}";', f'  * "{live}";']
        else:
            lines += [f'  * "{live or "none"}";']
        lines += ["}", "map $guildhall_live $guildhall_live_upstream {", "  default guildhall_none;"]
        lines += [f'  "{version}" guildhall_{version};' for version in dict.fromkeys(running)]
        lines += ["}"]
        # Shorter than the program's own 30 s, so that no request is sent into a connection that closes.
        keep = "keepalive 64; keepalive_timeout 20s;"
        for version in dict.fromkeys(running):
            lines += [f"upstream guildhall_{version} {{ server 127.0.0.1:{state['versions'][version]['port']}; {keep} }}"]
        latest = state["latest"]
        lines += [f"upstream guildhall_latest {{ server 127.0.0.1:{latest['port'] if latest else 1}; {keep} }}",
                  "upstream guildhall_none { server 127.0.0.1:1; }", ""]
        write_atomically(self.root / "nginx/routes.conf", "\n".join(lines))

    def _reload(self, state):
        before = (self.root / "nginx/routes.conf").read_text()
        self._routes(state)
        try:
            self._nginx(state, "-t", "-q")
        except Missed:
            write_atomically(self.root / "nginx/routes.conf", before)
            raise
        self._nginx(state, "-s", "reload")
        time.sleep(HANDOVER_S)

    # -- processes -------------------------------------------------------------------------------------------------

    def _environment(self, name):
        text = (self.root / "env").read_text() + "\n" + (self.root / "versions" / name / "env").read_text()
        pairs = (line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))
        return {key.strip(): value.strip().strip("\"'") for key, value in pairs}

    def _install(self, name, binary, port, version):
        folder = self.root / "versions" / name
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / "guildhall.new"
        shutil.copyfile(binary, new)
        new.chmod(0o755)
        os.replace(new, folder / "guildhall")
        settings = {"GUILDHALL_LISTEN": f"127.0.0.1:{port}", "GUILDHALL_VERSION": version, "GUILDHALL_BASE_PATH": "/latest"}
        write_atomically(folder / "env", "".join(f"{key}={value}\n" for key, value in settings.items()))

    def _start(self, state, name, port):
        under_systemd = state["runner"] == "systemd"  # which starts again what ends
        for starts in range(1, STARTS + 1):
            self._run(state, name, "serve")
            try:
                return await_ready(
                    f"http://127.0.0.1:{port}",
                    has_ended=lambda: not under_systemd and not self._pid(name),
                    log=lambda: f"see journalctl -u {self._unit(name)}" if under_systemd else self._last_lines(name),
                )
            except Ended:
                if starts == STARTS:
                    raise
                time.sleep(1)

    def _last_lines(self, name):
        file = self.root / "versions" / name / "log"
        last = file.read_text(errors="replace").splitlines()[-5:]
        return f"{file} ends with: " + "\n".join(last)

    def _run(self, state, name, command):
        if state["runner"] == "systemd":
            subprocess.run(["systemctl", "enable", "--now", self._unit(name)], check=True)
        elif not self._pid(name):
            folder = self.root / "versions" / name
            with (folder / "log").open("ab") as log:
                process = subprocess.Popen(
                    [folder / "guildhall", command], cwd=folder, env={**os.environ, **self._environment(name)},
                    stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                )
            (folder / "pid").write_text(str(process.pid))

    @staticmethod
    def _unit(name):
        return "guildhall-worker" if name == WORKER else f"guildhall@{name}"

    def _work_as(self, state, version):
        """Where a broker carries tasks, the worker goes first: the newer version knows both versions' tasks."""
        file = self.root / "versions" / WORKER / "env"
        if "KAFKA_BROKERS=" not in (self.root / "env").read_text():
            return
        running = state["runner"] == "systemd" or self._pid(WORKER)
        if running and file.exists() and f"GUILDHALL_VERSION={version}\n" in file.read_text():
            return
        if file.exists():
            self._stop(state, WORKER)
        self._install(WORKER, self.root / "versions" / version / "guildhall", 0, version)
        self._run(state, WORKER, "worker")

    def _pid(self, name):
        file = self.root / "versions" / name / "pid"
        try:
            pid = int(file.read_text())
            os.kill(pid, 0)
            return pid if pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" else None
        except (OSError, ValueError):
            return None

    def _stop(self, state, name):
        if state["runner"] == "systemd":
            subprocess.run(["systemctl", "disable", "--now", self._unit(name)], check=True)
        elif pid := self._pid(name):
            os.kill(pid, signal.SIGTERM)
            end = time.monotonic() + 30
            while self._pid(name) and time.monotonic() < end:
                time.sleep(0.05)

    def _move_sockets(self, state, name):
        """A version that players reach no more asks the clients of its sockets to come back, to another one. Programs that
        don't know this signal take no notice."""
        if state["runner"] == "systemd":
            subprocess.run(["systemctl", "kill", "--kill-whom=main", "--signal=SIGWINCH", self._unit(name)], check=False)
        elif pid := self._pid(name):
            os.kill(pid, signal.SIGWINCH)

    # -- verbs -----------------------------------------------------------------------------------------------------

    def deploy(self, package):
        """The program to the testers' route: beside the one that is there, and then in its place."""
        sha256 = hashlib.sha256(package.read_bytes()).hexdigest()
        with self._locked():
            state = self._read()
            now = state["latest"]
            if now and now["sha256"] == sha256 and (state["runner"] == "systemd" or self._pid(now["name"])):
                say("  has this code already")
                return sha256
            other = bool(now) and now["name"] == "latest-a"
            name, port = ("latest-b", state["first_port"] + 1) if other else ("latest-a", state["first_port"])
            self._stop(state, name)
            self._install(name, package, port, LATEST)
            program = self.root / "versions" / name / "guildhall"
            environment = {**os.environ, **self._environment(name)}
            migrated = subprocess.run([program, "migrate"], env=environment, capture_output=True, text=True, check=False)
            if migrated.returncode != 0:
                raise Missed(f"migrate: {migrated.stderr.strip()}")
            say(f"  {migrated.stdout.strip()}")
            self._start(state, name, port)
            build = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.split()[-1]
            state["latest"] = {"name": name, "port": port, "sha256": sha256, "build": build}
            self._reload(state)
            self._write(state)
            if now:
                self._stop(state, now["name"])
            say(f"  {LATEST} is now {build}")
        return sha256

    def publish(self, build):
        """A version that never changes; of the same code, the version that there is."""
        with self._locked():
            state = self._read()
            latest = state["latest"]
            if not latest:
                raise Refused("nothing is deployed; run deploy first")
            program = self.root / "versions" / latest["name"] / "guildhall"
            found = hashlib.sha256(program.read_bytes()).hexdigest()
            if found != latest["sha256"]:
                raise Missed(f"{program} has code {found[:12]}, not {latest['sha256'][:12]} that was deployed")
            newest = max(state["versions"], key=int, default=None)
            if newest and state["versions"][newest]["sha256"] == found:
                return newest
            version = str(int(newest or "0") + 1)
            port = state["first_port"] + 2 + int(version) % 500
            self._install(version, program, port, version)
            state["versions"][version] = {"sha256": found, "port": port, "description": build or ""}
            self._start(state, version, port)
            self._write(state)
            return version

    def set_live(self, state, live, following, weight, previous):
        """What players reach; refused where that is no longer as `state` has it."""
        with self._locked():
            check_revision(self._read(), state["revision"])
            for version in filter(None, (live, following)):
                self._start(state, version, state["versions"][version]["port"])
            self._work_as(state, following or live)
            state.update(live=live, next=following, weight=weight, previous=previous)
            self._reload(state)
            self._write(state)
            for version in state["versions"]:
                if version not in (live, following):
                    self._move_sockets(state, version)

    def retire(self, keep):
        """Stops the versions that nobody reaches; their programs stay."""
        with self._locked():
            state = self._read()
            for version in state["versions"]:
                if version not in keep:
                    self._stop(state, version)

    # -- figures ---------------------------------------------------------------------------------------------------

    def figures(self, version, since):
        """What nginx saw of a version: its errors are the program's and those of a program that is not there."""
        path = self.root / "nginx/access.log"
        seconds, requests, errors = [], 0, 0
        if path.exists():
            with path.open("rb") as log:
                log.seek(max(0, path.stat().st_size - LOG_TAIL_BYTES))
                for line in log.read().splitlines():
                    try:
                        entry = json.loads(line)
                    except ValueError:
                        continue
                    if entry["version"] == version and entry["time"] >= since:
                        requests += 1
                        if not entry["uri"].endswith(WAITING):
                            seconds.append(entry["seconds"])
                        errors += entry["status"] >= 500
        seconds.sort()
        p99 = seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)] * 1000 if seconds else None
        return {"requests": requests, "errors": errors, "p99_ms": p99}
