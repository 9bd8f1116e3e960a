"""A web app whose users talk in Hubbub under their own names, without another login. README.md says how to run it."""

import os
import pathlib
import time

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask, abort, request, session

app = Flask(__name__)
app.secret_key = os.urandom(32)

# The app keeps the private key, and Hubbub gets the public one.
key = Ed25519PrivateKey.generate()
public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
pathlib.Path("hubbub-key.pem").write_bytes(public)

# Stands for the login that your app has.
PASSWORDS = {"ann": "open sesame"}


@app.post("/login")
def login():
    if PASSWORDS.get(request.form["name"]) != request.form["password"]:
        abort(403)
    session["user"] = request.form["name"]
    return "welcome"


# All that Hubbub needs: who is logged in, signed, for five minutes.
@app.get("/hubbub-token")
def hubbub_token():
    if "user" not in session:
        abort(401)
    claims = {"iss": "https://shop.example", "aud": "hubbub", "sub": session["user"], "exp": int(time.time()) + 300}
    return jwt.encode(claims, key, algorithm="EdDSA")
