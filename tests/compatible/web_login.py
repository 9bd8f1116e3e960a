"""What a client with and without a token of examples/web-login may do.

Usage: web_login.py WEB_APP             prints a token for ann
       web_login.py WEB_APP ADDRESS PROTO_FOLDER   checks a server that takes the app's tokens
"""

import sys
import urllib.error
import urllib.parse
import urllib.request

import grpc

DEADLINE_S = 30


def fetch_token(web_app):
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    for attempt, status in [({"name": "ann", "password": "wrong"}, 403), (None, 401)]:
        try:
            if attempt:
                browser.open(web_app + "/login", urllib.parse.urlencode(attempt).encode(), DEADLINE_S)
            else:
                browser.open(web_app + "/hubbub-token", timeout=DEADLINE_S)
            raise AssertionError("a stranger was not refused")
        except urllib.error.HTTPError as error:
            assert error.code == status, error
    right = urllib.parse.urlencode({"name": "ann", "password": "open sesame"}).encode()
    browser.open(web_app + "/login", right, DEADLINE_S)
    return browser.open(web_app + "/hubbub-token", timeout=DEADLINE_S).read().decode()


def check(token, address, protos):
    sys.path.insert(0, protos)
    messages, services = grpc.protos_and_services("hubbub/v1/chat.proto")
    with grpc.insecure_channel(address) as channel:
        chat = services.ChatServiceStub(channel)

        def post(token, sender=""):
            metadata = [("authorization", "Bearer " + token)] if token else []
            request = messages.PostMessageRequest(room="garden", sender=sender, body="hello")
            try:
                chat.PostMessage(request, metadata=metadata, timeout=DEADLINE_S)
                return grpc.StatusCode.OK
            except grpc.RpcError as error:
                assert not token or token not in error.details(), error
                return error.code()

        codes = grpc.StatusCode
        assert post(None) == codes.UNAUTHENTICATED
        assert post(None, "ann") == codes.UNAUTHENTICATED
        head, claims, signature = token.split(".")
        assert post(".".join([head, claims, signature[::-1]])) == codes.UNAUTHENTICATED
        assert post(".".join([head, claims, ""])) == codes.UNAUTHENTICATED
        assert post(token, "bob") == codes.PERMISSION_DENIED
        assert post(token) == codes.OK
        assert post(token, "ann") == codes.OK
        request = messages.ListMessagesRequest(room="garden")
        metadata = [("authorization", "Bearer " + token)]
        events = chat.ListMessages(request, metadata=metadata, timeout=DEADLINE_S).events
        assert [event.message.sender for event in events] == ["ann", "ann"], events


if __name__ == "__main__":
    token = fetch_token(sys.argv[1])
    if sys.argv[2:]:
        check(token, *sys.argv[2:])
    else:
        print(token, end="")
