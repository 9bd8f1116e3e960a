"""Posts in Hubbub as a user of the web app, and prints the lobby. Usage: post.py WEB_APP HUBBUB BODY"""

import pathlib
import sys
import urllib.parse
import urllib.request

import grpc

web_app, hubbub, body = sys.argv[1:]
sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "proto"))
messages, services = grpc.protos_and_services("hubbub/v1/chat.proto")

# As a browser does it: log in, keep the session's cookie, and fetch a token.
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
browser.open(web_app + "/login", urllib.parse.urlencode({"name": "ann", "password": "open sesame"}).encode())
token = browser.open(web_app + "/hubbub-token").read().decode()

login = [("authorization", "Bearer " + token)]
with grpc.insecure_channel(hubbub) as channel:
    chat = services.ChatServiceStub(channel)
    chat.PostMessage(messages.PostMessageRequest(room="lobby", body=body), metadata=login)
    for event in chat.ListMessages(messages.ListMessagesRequest(room="lobby"), metadata=login).events:
        print(event.message.sender + ": " + event.message.body)
