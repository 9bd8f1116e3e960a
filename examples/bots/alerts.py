"""Posts alerts in a room: a webhook for Prometheus' Alertmanager, and for any program that can post JSON.

Usage: ALERTS_TOKEN=SECRET alerts.py URL ROOM [--name NAME] [--listen HOST:PORT]

Requests need `Authorization: Bearer SECRET`. README.md describes both forms of them. A request is answered with 200 once
its message is stored, and with 503 if that takes too long: the sender tries again, and the message is stored once.
"""

import argparse
import hmac
import http.server
import json
import os
import sys
import threading

from common import clean, derived_id, token
from hubbub import Fault, Refused, Server

REQUEST_BYTES_MAX = 1 << 20
ALERTS_SHOWN_MAX = 10  # Of one notification.
LINE_CHARS_MAX = 400
POST_S = 8  # Alertmanager waits for 10 s.
CONNECTIONS_MAX = 16  # At once.


def of_alertmanager(notification):
    """The id and the text of a notification: one message for a group of alerts, one line for each alert."""
    alerts, lines, states = notification["alerts"], [], []
    for alert in alerts:
        labels, notes = alert.get("labels", {}), alert.get("annotations", {})
        is_firing = alert.get("status") == "firing"
        text = notes.get("summary") or notes.get("description") or " ".join(f"{k}={labels[k]}" for k in sorted(labels))
        line = f"{'🔥' if is_firing else '✅'} {labels.get('alertname', 'alert')}: {text}"
        lines.append(" ".join(line.split())[:LINE_CHARS_MAX])
        # While an alert has not changed, its notification is the same message, however often it is sent.
        states.append(" ".join(sorted(f"{k}={v}" for k, v in labels.items())) + f" {alert.get('startsAt')} {is_firing}")
    hidden = max(len(alerts) - ALERTS_SHOWN_MAX, 0) + int(notification.get("truncatedAlerts") or 0)
    more = [f"… and {hidden} more"] if hidden else []
    body = "\n".join(lines[:ALERTS_SHOWN_MAX] + more)
    return derived_id("alertmanager", str(notification.get("groupKey")), *sorted(states)), body


def of_anything(event):
    """The id and the text of {"text": …, "id": …}. Without an id, each request is another message."""
    key = str(event["id"]) if "id" in event else os.urandom(16).hex()
    return derived_id("webhook", key), event["text"]


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    slots = threading.BoundedSemaphore(CONNECTIONS_MAX)

    def process_request(self, request, client_address):
        self.slots.acquire()  # Further connections wait in the system's queue.
        super().process_request(request, client_address)

    def process_request_thread(self, request, client_address):
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.slots.release()


class Webhook(http.server.BaseHTTPRequestHandler):
    timeout = 10  # For each read and write of the socket.

    def do_POST(self):
        status, text = self.take()
        data = (text + "\n").encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if status == 503:
            self.send_header("Retry-After", "5")
        self.end_headers()
        self.wfile.write(data)

    def take(self):
        """Posts the message of the request. Returns the status and the text of the response."""
        given = self.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {self.server.secret}".encode()):
            return 401, "send the header Authorization: Bearer, with the token of ALERTS_TOKEN"
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            return 411, "send the header Content-Length"
        if int(length) > REQUEST_BYTES_MAX:
            return 413, f"send at most {REQUEST_BYTES_MAX} bytes"
        try:
            request = json.loads(self.rfile.read(int(length)))
            message_id, body = of_alertmanager(request) if "alerts" in request else of_anything(request)
            body = clean(body)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return 400, 'send a notification of Alertmanager, or {"text": "…", "id": "…"}'
        server = self.server
        try:
            seq = server.hubbub.post(server.room, server.name, body, message_id, for_s=POST_S)
            return 200, f"stored as message {seq}" if seq else "stored before, with another text"
        except Refused as refusal:
            return 502 if refusal.concerns_login() else 400, str(refusal)
        except Fault as fault:
            return 503, f"not stored yet: {fault}"


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("url", metavar="URL", help="the server's HTTP address, such as http://127.0.0.1:5080")
    options.add_argument("room", metavar="ROOM")
    options.add_argument("--name", default="alerts", help="after a login: the user's name")
    options.add_argument("--listen", default="127.0.0.1:9095", metavar="HOST:PORT")
    given = options.parse_args()
    secret = os.environ.get("ALERTS_TOKEN", "")
    if len(secret) < 16:
        sys.exit("alerts: set ALERTS_TOKEN to a secret of at least 16 characters: whoever knows it can post")
    host, _, port = given.listen.rpartition(":")
    try:
        server = Listener((host, int(port)), Webhook)
    except (OSError, ValueError) as error:
        sys.exit(f"alerts: can't listen on {given.listen} ({error}): choose another address with --listen")
    server.secret, server.room, server.name = secret, given.room, given.name
    server.hubbub = Server(given.url, token())
    print(f"listening on {host}:{server.server_port}", file=sys.stderr, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
