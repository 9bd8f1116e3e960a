"""A client over TLS with a login: Python's gRPC, with stubs generated from the proto file.

Usage: tls.py ADDRESS PROTO_FOLDER

Reads requests from standard input and answers them on standard output; tests/it/support/foreign.rs describes both.
"""

import json
import queue
import sys

import grpc

DEADLINE_S = 60


def login(token_file):
    """The header of a call; none without a token."""
    if not token_file:
        return []
    with open(token_file) as file:
        return [("authorization", "Bearer " + file.read().strip())]


def shown(message):
    return {"sender": message.sender, "authenticated": message.authenticated, "body": message.body}


class Client:
    def __init__(self, address, messages, services):
        self.address, self.messages, self.services = address, messages, services
        self.chat = self.call = None

    def connect(self, ca):
        with open(ca, "rb") as file:
            credentials = grpc.ssl_channel_credentials(root_certificates=file.read())
        self.chat = self.services.ChatServiceStub(grpc.secure_channel(self.address, credentials))
        return {}

    def post(self, token, room, sender, body):
        request = self.messages.PostMessageRequest(room=room, sender=sender, body=body)
        self.chat.PostMessage(request, metadata=login(token), timeout=DEADLINE_S)
        return {}

    def list(self, token, room):
        request = self.messages.ListMessagesRequest(room=room)
        page = self.chat.ListMessages(request, metadata=login(token), timeout=DEADLINE_S)
        return {"messages": [shown(event.message) for event in page.events]}

    def open(self, token, name):
        self.end()
        self.requests = queue.Queue()
        self.call = self.chat.Chat(iter(self.requests.get, None), metadata=login(token), timeout=DEADLINE_S)
        self.events = (event for response in self.call for event in response.events)
        return self.send(hello=self.messages.Hello(name=name))

    def join(self, room):
        return self.send(join=self.messages.Join(room=room))

    def say(self, room, body):
        return self.send(post=self.messages.Post(room=room, body=body))

    def hear(self):
        for event in self.events:
            kind = event.WhichOneof("event")
            if kind == "welcome":
                return {"event": kind, "sender": event.welcome.name, "authenticated": event.welcome.authenticated}
            if kind == "message":
                return {"event": kind, **shown(event.message)}
            if kind not in ("joined", "presence"):
                return {"event": kind}
        return {"event": "end"}

    def send(self, **command):
        self.requests.put(self.messages.ChatRequest(commands=[self.messages.Command(**command)]))
        return self.hear()

    def end(self):
        if self.call:
            self.requests.put(None)
            self.call.cancel()


def main():
    address, protos = sys.argv[1:]
    sys.path.insert(0, protos)
    client = Client(address, *grpc.protos_and_services("hubbub/v1/chat.proto"))
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"code": 0, **getattr(client, request.pop("ask"))(**request)}
        except grpc.RpcError as error:
            answer = {"code": error.code().value[0], "text": error.details()}
        print(json.dumps(answer), flush=True)
    client.end()


if __name__ == "__main__":
    main()
