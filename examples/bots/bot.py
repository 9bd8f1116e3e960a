"""A bot that answers `!ping` and `!roll 2d6`, once each, whatever crashes. README.md says how to run it.

Usage: bot.py URL ROOM [--name NAME] [--state FILE]
"""

import argparse
import re
import secrets
import sys

from common import State, derived_id, token
from hubbub import Refused, Server

DICE_MAX, SIDES_MAX = 100, 1_000_000


def answer(body):
    """What the bot says to a message; None to most. An answer never begins with `!`, so bots don't answer each other."""
    command, _, argument = body.strip().partition(" ")
    if command == "!ping":
        return "pong"
    if command == "!roll":
        dice = re.fullmatch(r"([0-9]{0,3})d([0-9]{1,7})", argument.strip() or "1d6")
        count, sides = (int(dice[1] or 1), int(dice[2])) if dice else (0, 0)
        if not (1 <= count <= DICE_MAX and 2 <= sides <= SIDES_MAX):
            return f"roll at most {DICE_MAX} dice, with 2 to {SIDES_MAX} sides, as in: !roll 2d6"
        rolls = [secrets.randbelow(sides) + 1 for _ in range(count)]
        return str(rolls[0]) if count == 1 else f"{' + '.join(map(str, rolls))} = {sum(rolls)}"
    return None


def run(server, room, name, state):
    for place, kind, event in server.follow(room, state.value.get("place")):
        message = event.get("message", {})
        # Its own messages are not for it, and a deleted message has no text.
        if kind == "message" and message["sender"] != name and (said := answer(message.get("body", ""))):
            # The id of the answer follows from the message. So if the bot dies before it has stored its place, it posts the
            # same answer again, and the server stores it once. (For other dice, it refuses the id: the first roll counts.)
            answer_id = derived_id("answer", room, message["sender"], message["messageId"])
            try:
                server.post(room, name, f"{message['sender']}: {said}", answer_id)
            except Refused as refusal:
                if refusal.concerns_login():
                    raise
                print(f"an answer was refused: {refusal}", file=sys.stderr, flush=True)
        if place != state.value.get("place"):
            state.save(place=place)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", metavar="URL", help="the server's HTTP address, such as http://127.0.0.1:5080")
    options.add_argument("room", metavar="ROOM")
    options.add_argument("--name", default="bot", help="after a login: the user's name")
    options.add_argument("--state", default="bot.json", help="where the bot keeps its place")
    given = options.parse_args()
    try:
        run(Server(given.url, token()), given.room, given.name, State(given.state))
    except Refused as refusal:
        sys.exit(f"bot: {refusal}")
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
