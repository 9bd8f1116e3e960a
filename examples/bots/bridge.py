"""Copies the messages of two rooms into each other, also between two servers. README.md says how to run it.

Usage: bridge.py URL ROOM OTHER_URL OTHER_ROOM [--name NAME] [--state FILE]
"""

import argparse
import base64
import os
import sys
import threading
import traceback

from common import State, clean, derived_id, token
from hubbub import Refused, Server

# The ids of bridged messages begin with these bytes. No bridge copies them again, so that messages can't go in circles,
# through however many bridges they come.
MARK = b"\xb1\x1d\x9e\x01"


class Side:
    """A room of the bridge."""

    def __init__(self, label, url, room, token):
        self.label, self.room, self.server = label, room, Server(url, token)


def bridged_id(room, message):
    """The id of the copy, which follows from the message: it is stored once, however often it is posted."""
    return MARK + derived_id("bridge", room, message["sender"], message["messageId"])[-12:]


def is_bridged(message):
    return base64.b64decode(message["messageId"]).startswith(MARK)


def copied(message):
    name = message["sender"]
    return clean(f"* {name} {message['body']}" if message.get("kind") == "KIND_ACTION" else f"{name}: {message['body']}")


def carry(source, target, name, state, lock):
    """Copies from one room to the other, from where it stopped."""
    for place, kind, event in source.server.follow(source.room, state.value.get(source.label)):
        message = event.get("message")
        # A message that was deleted meanwhile has no text.
        if kind == "message" and message.get("body") and not is_bridged(message):
            try:
                target.server.post(target.room, name, copied(message), bridged_id(source.room, message))
            except Refused as refusal:
                if refusal.concerns_login():
                    raise
                print(f"{source.room} {event['seq']} can't be copied: {refusal}", file=sys.stderr, flush=True)
        if kind == "gap":
            print(f"{source.room}: messages are missing: {event['gap']}", file=sys.stderr, flush=True)
        # Only after the copy is stored. A crash in between has it posted again, with the same id.
        if place != state.value.get(source.label):
            with lock:
                state.save(**{source.label: place})


def carry_or_end(*arguments):
    """Ends the program with the reason: half a bridge would go unnoticed."""
    try:
        carry(*arguments)
    except Refused as refusal:
        print(f"bridge: {refusal}", file=sys.stderr, flush=True)
    except Exception:
        traceback.print_exc()
    os._exit(1)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", metavar="URL")
    options.add_argument("room", metavar="ROOM")
    options.add_argument("other_url", metavar="OTHER_URL")
    options.add_argument("other_room", metavar="OTHER_ROOM")
    options.add_argument("--name", default="bridge", help="the name that it posts under; after a login: the user's")
    options.add_argument("--state", default="bridge.json", help="where it keeps its places")
    given = options.parse_args()
    if (given.url, given.room) == (given.other_url, given.other_room):
        options.error("both rooms are the same: name two")
    sides = Side("here", given.url, given.room, token()), Side("there", given.other_url, given.other_room, token("OTHER_"))
    state, lock = State(given.state), threading.Lock()
    for source, target in (sides, reversed(sides)):
        threading.Thread(target=carry_or_end, args=(source, target, given.name, state, lock), daemon=True).start()
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
