"""Posting and following over HTTP, with Python's standard library only. docs/protocol.md explains what is done here.

Faults that may pass are tried again; others raise `Refused`.
"""

import base64
import http.client
import json
import random
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

SILENCE_S = 45  # The server shows every 20 s that a silent stream is alive.
CALL_S = 10
PASSING = {"unavailable", "resource_exhausted", "internal", "deadline_exceeded", "aborted", "canceled", "unknown"}


class Refused(Exception):
    """The server refused a call, and would refuse it again."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code

    def concerns_login(self):
        return self.code in ("unauthenticated", "permission_denied")


class Fault(Exception):
    """A call failed, and may succeed later."""

    def __init__(self, reason, after_s=0):
        super().__init__(str(reason))
        self.after_s = after_s


FAULTS = (Fault, OSError, http.client.HTTPException, ValueError)


class Server:
    """A server's HTTP address, such as http://127.0.0.1:5080, and a token if it has logins."""

    def __init__(self, url, token=None):
        self.url = url.rstrip("/")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    def post(self, room, sender, body, message_id, kind="KIND_TEXT", for_s=None):
        """Posts a message, and posts it again until it is stored, for at most so many seconds. With the same id it is
        stored once, however often it is posted. Returns its seq; None if the id has been used for another message."""
        message = {"room": room, "sender": sender, "body": body, "kind": kind}
        message["messageId"] = base64.b64encode(message_id).decode()
        headers = {"Content-Type": "application/json", **self.headers}
        url = f"{self.url}/hubbub.v1.ChatService/PostMessage"
        request = urllib.request.Request(url, json.dumps(message).encode(), headers)
        began = time.monotonic()
        for pause in pauses():
            try:
                with opened(request, CALL_S) as response:
                    return json.load(response)["seq"]
            except Refused as refusal:
                if refusal.code == "already_exists":
                    return None
                raise
            except FAULTS as fault:
                seconds = max(pause, getattr(fault, "after_s", 0))
                if for_s is not None and time.monotonic() + seconds > began + for_s:
                    raise Fault(fault, seconds) from fault
                wait(f"posting in {room}", fault, seconds)

    def follow(self, room, place=None):
        """Yields each event of a room as (place, kind, event), for ever; the kind of a message is "message". Begins after
        that place, or else with what is posted from now on. A cut loses no event and repeats none."""
        pausing = pauses()
        while True:
            query = urllib.parse.urlencode({"after": place} if place else {"last": 0})
            url = f"{self.url}/rooms/{urllib.parse.quote(room)}/events?{query}"
            try:
                with opened(urllib.request.Request(url, headers=self.headers), SILENCE_S) as response:
                    for event_id, kind, event in events(response):
                        check(kind, event)
                        place = event_id or place
                        yield place, kind, event
                        pausing = pauses()
                raise Fault("the stream has ended")
            except FAULTS as fault:
                wait(f"following {room}", fault, max(next(pausing), getattr(fault, "after_s", 0)))


def events(response):
    """The events of a stream: id, kind, content. One that is cut off is dropped, because it comes again."""
    fields = {}
    for line in response:
        name, _, value = line.decode().rstrip("\r\n").partition(": ")
        if name:
            fields[name] = value
            continue
        if "data" in fields:
            yield fields.get("id"), fields.get("event", "message"), json.loads(fields["data"])
        fields = {}


def check(kind, event):
    """Raises `Refused` if the server does not let us follow."""
    if kind == "end" and event["code"] not in PASSING:
        raise Refused(event["code"], event["message"])
    if kind == "rejected" and not event["rejected"].get("retryAfterMs"):
        raise Refused(event["rejected"].get("code", ""), event["rejected"].get("reason", ""))


def opened(request, timeout_s):
    try:
        return urllib.request.urlopen(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            status, seconds = error.code, error.headers.get("Retry-After", "")
            text = error.read(65_536).decode(errors="replace")
    try:
        code, reason = (json.loads(text)[field] for field in ("code", "message"))
    except (ValueError, KeyError, TypeError):  # Not the server's own: a proxy's, for example.
        may_pass = status in (408, 429) or status >= 500
        code, reason = ("unavailable" if may_pass else "not_found"), f"status {status} of {request.full_url}"
    if code not in PASSING:
        raise Refused(code, reason)
    raise Fault(reason, int(seconds) if seconds.isdecimal() else 0)


def pauses():
    """The times between attempts: longer and longer, and random, so that not all clients come back at once."""
    seconds = 0.5
    while True:
        yield seconds * random.uniform(0.5, 1)
        seconds = min(seconds * 2, 15)


def wait(what, fault, seconds):
    print(f"{what}: {fault}; again in {seconds:.1f} s", file=sys.stderr, flush=True)
    time.sleep(seconds)
