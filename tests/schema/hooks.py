"""Values that are there: without them, hardly a generated call would get beyond "no such channel".

scripts/schema makes the channels, players and messages before. One value in five stays what was generated.
"""

import random

import schemathesis

# The same choices in every run.
random.seed(7)

CHANNELS = ["world", "guild", "party"]
PLAYERS = ["alice", "bob", "carol"]


# Who leaves a channel can't read in it any more: one channel is enough for that.
LEAVING = ("/channel/leave", "/channel/members-remove")


def known(name, value, channels):
    """A value of the same field that leads somewhere."""
    if random.random() < 0.2:
        return value
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


def replaced(fields, channels):
    if not isinstance(fields, dict):
        return fields
    new = {name: known(name, value, channels) for name, value in fields.items()}
    if isinstance(new.get("channels"), list):
        new["channels"] = [replaced(one, channels) for one in new["channels"]]
    return new


@schemathesis.hook
def map_case(context, case):
    # What is wrong on purpose stays wrong.
    if case.meta is not None and case.meta.generation.mode.is_negative:
        return case
    channels = ["party"] if case.operation.path in LEAVING else CHANNELS
    if case.operation.path == "/channel/create":
        # One that is there already is refused with other input, which most are.
        channels = [f"new-{random.randrange(10**9)}"]
    case.query = replaced(case.query, channels)
    case.body = replaced(case.body, channels)
    return case
