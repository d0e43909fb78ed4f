"""Values that are there: without them, hardly a generated call would get beyond "no such channel".

scripts/schema makes the channels, players, messages, sanctions, cases, appeals and tasks before, and writes down their ids. One value in five stays what was generated.
"""

import collections
import itertools
import os
import random

import schemathesis

# The same choices in every run.
random.seed(7)

CHANNELS = ["world", "guild", "party"]
PLAYERS = ["alice", "bob", "carol"]


# What there is, by kind: one "kind id" a line.
IDS = collections.defaultdict(list)
with open(os.environ["GUILDHALL_SCHEMA_IDS"]) as lines:
    for line in lines:
        IDS[line.split()[0]].append(line.split()[1])
OF = {"/sanction/lift": "sanction", "/case/show": "case", "/case/claim": "case", "/case/decide": "case", "/appeal/decide": "appeal", "/task/show": "task",
      "/ticket/claim": "ticket", "/ticket/reply": "ticket", "/ticket/close": "ticket", "/announcement/cancel": "announcement", "/schedule/cancel": "schedule"}

# Each path takes what there is in turn, and two that take the same begin at different places: what is claimed, decided or
# lifted once is refused the next time.
TURN = {path: itertools.cycle(IDS[kind][at:] + IDS[kind][:at]) for path, kind in OF.items()
        for at in [len(IDS[kind]) // 2 if path.endswith("/decide") else 0]}

# What is said to many, to whom, and when.
SAID = {
    "texts": [{"en": "hello"}, {"en": "hello", "zh-CN": "你好"}],
    "audience": [{"everybody": True}, {"channel": "world"}, {"kind": "guild"}, {"zone": "eu-1", "min_level": 3}],
    "when": [{"now": True}, {"at": 4_000_000_000_000}, {"cron": "0 20 * * 5", "zone": "Asia/Shanghai"}],
}

# Who leaves a channel can't read in it any more: one channel is enough for that.
LEAVING = ("/channel/leave", "/channel/members-remove")


def known(name, value, channels, path):
    """A value of the same field that leads somewhere."""
    if name == "player" and path == "/sanction/give":
        # Nobody who calls is muted or banned, whatever is generated.
        return "mallory"
    if name == "seq" and path == "/report/message" and isinstance(value, int):
        # Ten reports in an hour are allowed, and five of them are left for those about players.
        return 21 + abs(value) % 5
    if random.random() < 0.2:
        return value
    if name == "id" and path in OF:
        return next(TURN[path])
    if name == "sanction":
        return random.choice(IDS["own"])
    if name in ("channel", "id"):
        return random.choice(channels)
    if name == "player":
        return random.choice(PLAYERS)
    if name in ("seq", "before", "after") and isinstance(value, int):
        return 1 + abs(value) % 20
    if name == "members" and isinstance(value, list):
        return value[:3] or PLAYERS
    if name == "task":
        return "retention.v1"
    return value


def replaced(fields, channels, path):
    if not isinstance(fields, dict):
        return fields
    new = {name: known(name, value, channels, path) for name, value in fields.items()}
    if path.startswith("/announcement/") and random.random() < 0.8:
        # Each by itself would seldom fit the others.
        new.update({name: random.choice(said) for name, said in SAID.items() if name in new})
    if isinstance(new.get("channels"), list):
        new["channels"] = [replaced(one, channels, path) for one in new["channels"]]
    return new


@schemathesis.hook
def map_case(context, case):
    # What is wrong on purpose stays wrong.
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return case
    channels = ["party"] if case.operation.path in LEAVING else CHANNELS
    if case.operation.path == "/report/message":
        channels = ["guild"]
    if case.operation.path == "/channel/create":
        # One that is there already is refused with other input, which most are.
        channels = [f"new-{random.randrange(10**9)}"]
    case.query = replaced(case.query, channels, case.operation.path)
    case.body = replaced(case.body, channels, case.operation.path)
    return case
