//! Commands of other clients that can't be executed here, and why. They are never sent as text.

/// The names of commands, separated by blanks, and the reason with the remedy.
pub const REFUSED: [(&str, &str); 12] = [
    (
        "msg m query q notice dm",
        "this server has no private messages; two people can talk in a room of their own: /join ROOM",
    ),
    ("nick name", "a name is chosen at the start: leave with /quit, and start hubbub --name NAME"),
    ("away back", "this server keeps no presence besides who is connected: say it in the room, with /me is away"),
    ("whois wi whowas ww", "this server has no profiles; /who lists who is here"),
    ("ignore ig unignore", "messages of one person can't be hidden yet; /mute ROOM silences a room"),
    (
        "connect server",
        "one window talks to one server: start hubbub --server ADDRESS, or hubbub @PROFILE, in another one",
    ),
    ("disconnect", "the client keeps its connection: /quit leaves, and unsent text is kept"),
    (
        "op deop voice devoice mode kick k ban unban kickban invite",
        "rooms have no operators on this server: its own operator can ban a user",
    ),
    (
        "script load unload exec alias bind key",
        "this client runs no scripts; keys are set in the config file: /set shows where it is",
    ),
    ("save layout", "rooms, drafts and what you have read are kept without a command"),
    ("upload file dcc xfer", "this server has no files: post a link to one"),
    ("raw quote ctcp oper stats motd links map", "this is no IRC: the server has no such command"),
];
