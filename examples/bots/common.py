"""What else the examples share: message ids, texts, a state on the disk, a token."""

import hashlib
import json
import os
import pathlib
import sys
import unicodedata

BODY_BYTES_MAX = 16_384


def derived_id(*parts):
    """A message id that is always the same for the same parts. As the contract wants, it does not begin with four zeros."""
    return b"\x01" + hashlib.sha256("\0".join(parts).encode()).digest()[:15]


def clean(text):
    """The text without the characters that the server refuses in a body, and short enough for one."""
    data = "".join("\ufffd" if is_refused(char) else char for char in text).encode()
    return data.decode() if len(data) <= BODY_BYTES_MAX else data[: BODY_BYTES_MAX - 3].decode(errors="ignore") + "…"


def is_refused(char):
    """Control characters, halves of characters, and what reverses the text that follows."""
    if unicodedata.category(char) in ("Cc", "Cs"):
        return char not in "\n\t"
    return "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"


class State:
    """What a program remembers, in a file that is replaced as a whole: after a crash it has the state before or after."""

    def __init__(self, path):
        self.path = pathlib.Path(path)
        try:
            self.value = json.loads(self.path.read_text()) if self.path.exists() else {}
        except ValueError as error:
            sys.exit(f"{path} is damaged ({error}): repair it, or delete it to begin with new messages")

    def save(self, **changes):
        self.value.update(changes)
        draft = self.path.with_name(self.path.name + ".draft")
        with open(draft, "w") as file:
            json.dump(self.value, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, self.path)


def token(prefix=""):
    """The token for a server with logins: in the file that HUBBUB_TOKEN_FILE names, or in HUBBUB_TOKEN. None without. The
    bridge has a second server: its variables begin with OTHER_."""
    file = os.environ.get(f"{prefix}HUBBUB_TOKEN_FILE")
    return pathlib.Path(file).read_text().strip() if file else os.environ.get(f"{prefix}HUBBUB_TOKEN")
