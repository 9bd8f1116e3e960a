"""Clients of the tutorial's contract that are not ours: Python's gRPC with stubs generated from the proto file.

Usage: clients.py ADDRESS PROTO_FOLDER

Talks to a server in whose lobby nobody else says anything but answers to "marco" with "polo". Exits with 0 if all is
as the contract says; otherwise an assertion tells what was not.
"""

import queue
import sys
import threading

import grpc

DEADLINE_S = 30
MESSAGES = 500


class Client:
    """One stream on a connection of its own."""

    def __init__(self, address, messages, services):
        self.messages = messages
        options = [("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.insecure_channel(address, options=options)
        self.outgoing = queue.Queue()
        self.incoming = queue.Queue()
        self.call = services.ServicesStub(self.channel).ChatService(iter(self.outgoing.get, None))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        try:
            for message in self.call:
                self.incoming.put((message.name, message.body))
            self.incoming.put(grpc.StatusCode.OK)
        except grpc.RpcError as error:
            self.incoming.put((error.code(), error.details()))

    def say(self, name, body):
        self.outgoing.put(self.messages.FromClient(name=name, body=body))

    def half_close(self):
        self.outgoing.put(None)

    def hear(self):
        return self.incoming.get(timeout=DEADLINE_S)

    def leave(self):
        self.call.cancel()
        self.channel.close()


def wait_until_joined(listener, speaker):
    """The contract says nothing on joining, so one is there when it is heard or hears."""
    while True:
        speaker.say("speaker", "knock")
        try:
            assert listener.incoming.get(timeout=0.05) == ("speaker", "knock")
            break
        except queue.Empty:
            pass
    # Every knock is heard: what comes after the last one is what was said last.
    speaker.say("speaker", "come in")
    while True:
        heard = listener.hear()
        if heard == ("speaker", "come in"):
            return
        assert heard == ("speaker", "knock"), heard


def main():
    address, protos = sys.argv[1:]
    sys.path.insert(0, protos)
    messages, services = grpc.protos_and_services("chatserver/chat.proto")
    ann, bob = (Client(address, messages, services) for _ in range(2))
    wait_until_joined(bob, ann)
    wait_until_joined(ann, bob)

    # In order, once, and not to the sender, whose first message is the other's answer.
    for number in range(MESSAGES):
        ann.say("ann", f"message {number} – ünïcödé")
    for number in range(MESSAGES):
        assert bob.hear() == ("ann", f"message {number} – ünïcödé")
    bob.say("bob", "thanks")
    assert ann.hear() == ("bob", "thanks")

    # With a client of another kind in the same room.
    ann.say("ann", "marco")
    assert bob.hear() == ("ann", "marco")
    assert ann.hear() == bob.hear() == ("rust", "polo")

    # A half-closed client still receives.
    ann.half_close()
    bob.say("bob", "still there?")
    assert ann.hear() == ("bob", "still there?")

    # A broken rule ends the offender's stream with the rule's name, and nobody else's.
    carl = Client(address, messages, services)
    carl.say("c" * 65, "long")
    code, details = carl.hear()
    assert code == grpc.StatusCode.INVALID_ARGUMENT and "name has 65 characters" in details, (code, details)
    bob.say("bob", "and now?")
    assert ann.hear() == ("bob", "and now?")
    for client in (ann, bob, carl):
        client.leave()


if __name__ == "__main__":
    main()
