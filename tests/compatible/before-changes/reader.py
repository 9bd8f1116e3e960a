"""A client of hubbub.v1 that was built before messages could change: Python's gRPC, with stubs generated from the
contract of that time.

Usage: reader.py ADDRESS PROTO_FOLDER ROOM

Joins the room and prints "joined". Reads until a message "the end", then reads the room again: from its beginning, from
each place at which it could have been interrupted, the last messages, and page by page. Prints what it read as JSON, a
line each. Every event must have the seq after the one before, whatever its kind; otherwise an assertion says where.
"""

import json
import sys
import tempfile

import grpc

DEADLINE_S = 30


def stubs(protos):
    from grpc_tools import protoc

    folder = tempfile.mkdtemp()
    arguments = ["", "-I", protos, "--python_out=" + folder, "--grpc_python_out=" + folder, "hubbub/v1/chat.proto"]
    assert protoc.main(arguments) == 0
    sys.path.insert(0, folder)
    from hubbub.v1 import chat_pb2, chat_pb2_grpc

    return chat_pb2, chat_pb2_grpc


def events(responses):
    for response in responses:
        yield from response.events


class Reading:
    """The events of a room on one stream."""

    def __init__(self, chat, stub, room, **place):
        join = chat.Join(room=room, **place)
        commands = [chat.Command(hello=chat.Hello(name="reader")), chat.Command(join=join)]
        self.call = stub.Chat(iter([chat.ChatRequest(commands=commands)]), timeout=DEADLINE_S)
        self.events = events(self.call)
        while (event := next(self.events)).WhichOneof("event") != "joined":
            assert event.seq == 0, event
        self.joined = event.joined
        self.next = event.joined.first_seq

    def until(self, is_end):
        """The bodies of the messages, and how many events of other kinds there were."""
        bodies, others = [], 0
        for event in self.events:
            kind = event.WhichOneof("event")
            if kind == "joined":
                # The room has got its first message.
                self.joined = event.joined
            elif event.seq:
                assert event.seq == self.next, (event, self.next)
                self.next += 1
                if kind == "message":
                    bodies.append(event.message.body)
                else:
                    # The contract of that time: skip an unknown kind, and count its seq as seen.
                    assert kind is None, event
                    others += 1
            if is_end(event, kind):
                self.call.cancel()
                return bodies, others
        raise AssertionError("the stream has ended")


def is_the_end(event, kind):
    return kind == "message" and event.message.body == "the end"


def is_caught_up(event, kind):
    return kind == "caught_up"


def show(what, bodies, others):
    print(json.dumps({"what": what, "bodies": bodies, "others": others}), flush=True)


def main(address, protos, room):
    chat, services = stubs(protos)
    with grpc.insecure_channel(address) as channel:
        stub = services.ChatServiceStub(channel)
        live = Reading(chat, stub, room)
        print("joined", flush=True)
        show("live", *live.until(is_the_end))
        epoch, head = live.joined.epoch, live.next - 1
        whole = Reading(chat, stub, room, after=chat.Position(seq=0)).until(is_caught_up)
        show("whole", *whole)
        for seq in range(1, head + 1):
            resumed = Reading(chat, stub, room, after=chat.Position(seq=seq, epoch=epoch))
            assert resumed.next == seq + 1, (resumed.joined, seq)
            bodies, _ = resumed.until(is_caught_up)
            assert bodies == whole[0][len(whole[0]) - len(bodies):] and resumed.next == head + 1, (seq, bodies)
        for last in range(1, len(whole[0]) + 1):
            bodies, _ = Reading(chat, stub, room, last=last).until(is_caught_up)
            assert bodies == whole[0][-last:], (last, bodies)
        bodies, after = [], 0
        while page := stub.ListMessages(chat.ListMessagesRequest(room=room, after_seq=after, page_size=3)).events:
            for event in page:
                assert event.WhichOneof("event") == "message" and event.seq > after, event
                after = event.seq
                bodies.append(event.message.body)
        show("pages", bodies, 0)


main(*sys.argv[1:])
