"""A client in a silent room that pings: Python's gRPC.

Usage: pings.py ADDRESS KEEPALIVE_MS

Joins the room of the tutorial's contract and waits for somebody to say something, for 120 s at most. Exits with 0 if that
comes on the stream that it began; otherwise says how the stream ended.
"""

import queue
import sys

import grpc

METHOD = "/chatserver.Services/ChatService"


def main():
    address, keepalive_ms = sys.argv[1:]
    options = [
        ("grpc.keepalive_time_ms", int(keepalive_ms)),
        ("grpc.keepalive_timeout_ms", 20000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    channel = grpc.insecure_channel(address, options=options)
    chat = channel.stream_stream(METHOD, request_serializer=bytes, response_deserializer=bytes)
    # Nothing is said: the queue never has anything.
    call = chat(iter(queue.Queue().get, None), timeout=120)
    try:
        message = next(call)
    except grpc.RpcError as error:
        sys.exit(f"the stream ended: {error.code()}: {error.details()}")
    assert b"hello" in message, message
    call.cancel()


if __name__ == "__main__":
    main()
