"""The official Connect client for Python, with its defaults: it compresses every request.

Usage: connect.py HUBBUB_SERVER

Needs grpcio-tools, which makes the messages' classes, and connectrpc. Prints a line for each check, and exits with 1 if one
fails.
"""

import asyncio
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

from connectrpc.client import ConnectClient, ConnectClientSync
from connectrpc.code import Code
from connectrpc.compat import google_protobuf_binary_codec, google_protobuf_json_codec
from connectrpc.errors import ConnectError
from connectrpc.method import IdempotencyLevel, MethodInfo, StreamType

DEADLINE_S = 20
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TEXTS = ["😀 𝕳𝖚𝖇 👩‍👩‍👧", "שלום مرحبا \u200f", "e\u0301 Z\u0351\u036b", 'tab\t "quotes" \\ \u2028']
BODIES = ["hello", *TEXTS, "x" * 16_384]
PASSED, FAILED = [], []


def make_classes(folder):
    """Generates the classes of the contract's messages, and imports them."""
    proto = os.path.join(PROJECT, "proto")
    file = "hubbub/v1/chat.proto"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={proto}", f"--python_out={folder}", file]
    subprocess.run(command, check=True)
    sys.path.insert(0, folder)
    from hubbub.v1 import chat_pb2

    return chat_pb2


class Server:
    """A server with HTTP on a free port. Killed at the end of the `with`."""

    def __init__(self, program, data):
        command = [program, "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", data]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        log = []
        for line in self.process.stderr:
            log.append(line)
            if found := re.search(r"serving HTTP on (\S+)", line):
                self.url = f"http://{found[1]}"
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return
        raise RuntimeError("the server ended: " + "".join(log))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


class Client:
    """The methods of the contract, by their names."""

    def __init__(self, chat, client):
        self.chat, self.client = chat, client

    def method(self, name, stream=StreamType.UNARY, service="hubbub.v1.ChatService", like=None):
        is_safe = (like or name).startswith(("List", "Search", "Follow"))
        return MethodInfo(
            name=name,
            service_name=service,
            input=getattr(self.chat, f"{like or name}Request"),
            output=getattr(self.chat, f"{like or name}Response"),
            idempotency_level=IdempotencyLevel.NO_SIDE_EFFECTS if is_safe else IdempotencyLevel.UNKNOWN,
            stream_type=stream,
        )

    def call(self, name, use_get=False, headers=None, timeout_ms=None, like=None, **fields):
        method = self.method(name, like=like)
        request = method.input(**fields)
        return self.client.execute_unary(
            request=request, method=method, use_get=use_get, headers=headers, timeout_ms=timeout_ms
        )

    def follow(self, name="Follow", headers=None, timeout_ms=None, **fields):
        method = self.method(name, StreamType.SERVER_STREAM, like="Follow")
        request = method.input(**fields)
        return self.client.execute_server_stream(
            request=request, method=method, headers=headers, timeout_ms=timeout_ms
        )


def check(name, body):
    began = time.monotonic()
    try:
        body()
        PASSED.append(name)
        print(f"ok    {name} ({(time.monotonic() - began) * 1000:.0f} ms)", flush=True)
    except Exception as fault:
        FAILED.append(name)
        where = traceback.extract_tb(fault.__traceback__)[1].lineno
        print(f"FAIL  {name} (line {where}): {str(fault)[:500] or type(fault).__name__}", flush=True)


def equal(found, expected):
    if found != expected:
        raise AssertionError(f"{str(found)[:200]}, not {str(expected)[:200]}")


def fails(call, code, text=""):
    try:
        call()
    except ConnectError as error:
        equal((error.code, error.message if re.search(text, error.message) is None else ""), (code, ""))
        return
    raise AssertionError("it did not fail")


def wait_for(what, condition):
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {DEADLINE_S} s")
        time.sleep(0.02)


def kinds(events):
    return [event.WhichOneof("event") for event in events]


def take(stream, kind):
    """The events up to one of that kind."""
    events = []
    for response in stream:
        events += response.events
        if kind in kinds(events):
            return events
    raise AssertionError(f"the stream ended before {kind}")


def take_bodies(stream, count):
    bodies = []
    for response in stream:
        bodies += [event.message.body for event in response.events if event.WhichOneof("event") == "message"]
        if len(bodies) >= count:
            return bodies
    raise AssertionError(f"the stream ended after {bodies}")


def checks_of(name, chat, url, codec):
    client = Client(chat, ConnectClientSync(url, codec=codec))
    room = re.sub(r"[^a-z]+", "-", name.lower())
    one = lambda what, body: check(f"{name}: {what}", body)
    call = client.call
    post = lambda body, **more: call("PostMessage", room=room, sender="ann", body=body, **more)
    bodies = lambda response: [event.message.body for event in response.events]

    def posts():
        message_id = b"\x01" + secrets.token_bytes(15)
        first = post(BODIES[0], message_id=message_id)
        equal((first.seq, first.message_id, first.was_stored), (1, message_id, False))
        again = post(BODIES[0], message_id=message_id)
        equal((again.seq, again.message_id, again.was_stored), (1, message_id, True))
        fails(lambda: post("another text", message_id=message_id), Code.ALREADY_EXISTS, "id")
        for body in BODIES[1:]:
            post(body)

    def lists():
        page = call("ListMessages", room=room, after_seq=0)
        equal(bodies(page), BODIES)
        equal((page.head_seq, page.oldest_seq, page.events[2].seq), (len(BODIES), 1, 3))
        rooms = call("ListRooms").rooms
        equal([other.epoch for other in rooms if other.name == room], [page.epoch])
        assert page.epoch > 0

    def changes():
        seq = post("befor", kind=chat.KIND_ACTION, reply_to_seq=1, mentions=["bob", "*"]).seq
        message = {"room": room, "sender": "ann", "message_seq": seq}
        epoch = call("ListMessages", room=room).epoch
        edited = call("EditMessage", **message, epoch=epoch, body="before", seen_seq=seq)
        call("SetReaction", **{**message, "sender": "bob"}, emoji="👍")
        call("SetPin", **message)
        call("ChangeRoom", room=room, sender="ann", topic="tea ☕")
        found = call("ListMessages", room=room, page_size=1).events[0].message
        equal((found.body, found.edited_seq, found.kind, found.reply_to_seq), ("before", edited.seq, chat.KIND_ACTION, 1))
        equal([person.name for person in call("ListReactions", room=room, message_seq=seq, emoji="👍").people], ["bob"])
        wait_for("it is found", lambda: len(call("SearchMessages", query="before", room=room).found) == 1)
        fails(lambda: call("EditMessage", **message, body="late", seen_seq=seq), Code.ABORTED)
        fails(lambda: call("EditMessage", **message, body="x", epoch=epoch ^ 1), Code.FAILED_PRECONDITION, "epoch")
        fails(lambda: call("EditMessage", **{**message, "sender": "eve"}, body="x"), Code.PERMISSION_DENIED)
        call("DeleteMessage", **message)
        fails(lambda: call("EditMessage", **message, body="x"), Code.FAILED_PRECONDITION, "deleted")

    def errors():
        fails(lambda: call("ListMessages", room="nosuch"), Code.NOT_FOUND, "no room")
        fails(lambda: post(" "), Code.INVALID_ARGUMENT)
        fails(lambda: post("x" * 16_385), Code.INVALID_ARGUMENT, "16,?384")
        fails(lambda: post("x" * 70_000), Code.RESOURCE_EXHAUSTED, "65,?536")
        # It is short, compressed.
        fails(lambda: post("x" * 5_000_000), Code.RESOURCE_EXHAUSTED, "65,?536")
        fails(lambda: call("Login", code="AAAA-BBBB"), Code.UNIMPLEMENTED, "account")

    def gets():
        equal(bodies(call("ListMessages", use_get=True, room=room, after_seq=0, page_size=3)), BODIES[:3])
        call("SearchMessages", use_get=True, query='"a+b & c" 50% ☕')
        fails(lambda: call("ListMessages", use_get=True, room="nosuch"), Code.NOT_FOUND, "no room")

    def follows():
        seq = post("resume after this").seq
        epoch = call("ListMessages", room=room, page_size=1).epoch
        post("resumed")
        last = client.follow(rooms=[{"room": room, "last": 2}], hello={"name": "bob"})
        after = client.follow(rooms=[{"room": room, "after": {"seq": seq, "epoch": epoch}}])
        history = take(last, "caught_up")
        messages = [event.message.body for event in history if event.WhichOneof("event") == "message"]
        equal(messages, ["resume after this", "resumed"])
        equal([event.joined.epoch for event in history if event.WhichOneof("event") == "joined"], [epoch])
        equal(take_bodies(after, 1), ["resumed"])
        equal([member.name for member in call("ListMembers", room=room).members], ["bob"])
        live = ["live 1", "live 😀 2", "live 3"]
        for body in live:
            post(body)
        equal(take_bodies(last, 3), live)
        equal(take_bodies(after, 3), live)
        last.close()
        after.close()
        members = lambda: next(other.member_count for other in call("ListRooms").rooms if other.name == room)
        wait_for("the server notices that they are gone", lambda: members() == 0)
        lost = client.follow(rooms=[{"room": room, "after": {"seq": seq, "epoch": epoch ^ 1}}])
        gap = [event.gap.reason for event in take(lost, "gap") if event.WhichOneof("event") == "gap"]
        equal(gap, [chat.Gap.REASON_EPOCH_CHANGED])
        lost.close()

    def stream_errors():
        fails(lambda: list(client.follow(rooms=[])), Code.INVALID_ARGUMENT, "room")
        rooms = [{"room": f"room-{number}"} for number in range(1_001)]
        fails(lambda: list(client.follow(rooms=rooms)), Code.INVALID_ARGUMENT, "1,?000")
        stream = client.follow(rooms=rooms[:1_000])
        assert next(stream).events
        stream.close()
        fails(lambda: list(client.follow(rooms=[{"room": "x" * 300_000}])), Code.RESOURCE_EXHAUSTED)

    def timeouts():
        began = time.monotonic()
        fails(lambda: list(client.follow(rooms=[{"room": room}], timeout_ms=300)), Code.DEADLINE_EXCEEDED)
        assert time.monotonic() - began < 3
        # The client does not count itself.
        follow = lambda: list(client.follow(rooms=[{"room": room}], headers={"connect-timeout-ms": "200"}))
        fails(follow, Code.DEADLINE_EXCEEDED, "time")
        call("ListRooms", timeout_ms=10_000)

    def unknown():
        fails(lambda: call("FutureCall", like="ListRooms"), Code.UNIMPLEMENTED)
        fails(lambda: call("FutureCall", like="ListRooms", use_get=True), Code.UNIMPLEMENTED)
        fails(lambda: list(client.follow("FutureStream", rooms=[{"room": room}])), Code.UNIMPLEMENTED)

    def asynchronous():
        async def talk():
            other = Client(chat, ConnectClient(url, codec=codec))
            stream = other.follow(rooms=[{"room": room}])
            heard = []
            async for response in stream:
                heard += [event.message.body for event in response.events if event.WhichOneof("event") == "message"]
                if "caught_up" in kinds(response.events):
                    for body in ["one", "two"]:
                        await other.call("PostMessage", room=room, sender="ann", body=body)
                if len(heard) == 2:
                    break
            await stream.aclose()
            equal(heard, ["one", "two"])

        asyncio.run(asyncio.wait_for(talk(), DEADLINE_S))

    one("posts, and a message that is posted again is stored once", posts)
    one("lists messages and rooms, with 64-bit epochs", lists)
    one("replies, mentions, actions, edits, reactions, pins, topics, deletions and search", changes)
    one("errors have a code and a text", errors)
    one("GET for methods without side effects", gets)
    one("Follow: history, resumption, then live, for two followers that leave", follows)
    one("Follow: errors at the end of the stream", stream_errors)
    one("time-outs, by the client and by the server", timeouts)
    one("a method that the server does not know", unknown)
    one("the client for asyncio", asynchronous)


def main():
    [program] = sys.argv[1:]
    # It may not wait for ever.
    signal.alarm(300)
    with tempfile.TemporaryDirectory() as folder:
        chat = make_classes(folder)
        with Server(program, os.path.join(folder, "data")) as server:
            checks_of("connectrpc binary", chat, server.url, google_protobuf_binary_codec())
            checks_of("connectrpc JSON", chat, server.url, google_protobuf_json_codec())
    print(f"{len(PASSED)} passed, {len(FAILED)} failed")
    sys.exit(1 if FAILED or not PASSED else 0)


main()
