"""Prints a room's messages, posts each line of standard input, and resumes after a cut. Needs grpcio and grpcio-tools.

Usage: client.py HOST:PORT ROOM NAME
"""

import os
import pathlib
import sys
import threading
import time

import grpc

address, room, name = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "proto"))
v1, services = grpc.protos_and_services("hubbub/v1/chat.proto")
options = {"grpc.keepalive_time_ms": 15_000, "grpc.keepalive_timeout_ms": 10_000, "grpc.max_reconnect_backoff_ms": 5_000}
chat = services.ChatServiceStub(grpc.insecure_channel(address, options=list(options.items())))


def pause(reason, may_work_later):
    if not may_work_later:
        print(reason, file=sys.stderr, flush=True)
        os._exit(1)
    time.sleep(0.5)


def check(error):
    final = ("INVALID_ARGUMENT", "ALREADY_EXISTS", "UNAUTHENTICATED", "PERMISSION_DENIED")
    pause(error.details(), error.code().name not in final)


def follow():
    place = v1.Position()  # The last event that was seen, and the room's epoch then. Empty: before the first one.
    while True:
        request = v1.FollowRequest(hello=v1.Hello(name=name), rooms=[v1.Join(room=room, after=place)])
        try:
            for event in (event for response in chat.Follow(request) for event in response.events):
                if event.HasField("joined"):
                    epoch = event.joined.epoch
                elif event.HasField("rejected"):
                    pause(event.rejected.reason, event.rejected.retry_after_ms)
                    break
                elif event.HasField("gap"):
                    gap = event.gap
                    print(f"* missing: messages {gap.from_seq} to {gap.to_seq}, {gap.Reason.Name(gap.reason)}", flush=True)
                    is_replaced = gap.reason == v1.Gap.REASON_EPOCH_CHANGED  # Others come in their place.
                    place = v1.Position(seq=gap.from_seq - 1 if is_replaced else gap.to_seq, epoch=epoch)
                elif event.HasField("message"):
                    body = "".join(char if char.isprintable() else "\ufffd" for char in event.message.body)
                    print(event.seq, event.message.sender, body, flush=True)
                if event.seq:  # Whatever its kind is.
                    place = v1.Position(seq=event.seq, epoch=epoch)
        except grpc.RpcError as error:
            check(error)


threading.Thread(target=follow, daemon=True).start()
for line in sys.stdin:
    message_id = (time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10)
    post = v1.PostMessageRequest(room=room, sender=name, message_id=message_id, body=line.rstrip("\n"))
    while post:  # With the same id, as often as it takes.
        try:
            chat.PostMessage(post, timeout=10)
            post = None
        except grpc.RpcError as error:
            check(error)
