//! The commands with their usage, for `/help`, for completing, and for docs/terminal.md.

/// How a command is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub name: &'static str,
    pub aliases: &'static [&'static str],
    /// Its arguments.
    pub arguments: &'static str,
    pub text: &'static str,
}

const fn command(
    name: &'static str,
    aliases: &'static [&'static str],
    arguments: &'static str,
    text: &'static str,
) -> Usage {
    Usage { name, aliases, arguments, text }
}

/// All commands, in the order of `/help`.
pub const COMMANDS: [Usage; 32] = [
    command("help", &["h"], "[COMMAND]", "lists the commands and keys, or explains a command"),
    command("quit", &["exit", "bye", "signoff"], "", "leaves; unsent text is kept"),
    command("join", &["j"], "ROOM", "joins a room, or switches to it"),
    command("leave", &["part", "close", "wc"], "[ROOM]", "leaves a room"),
    command("list", &["rooms"], "[PART]", "lists the rooms of the server, to choose one"),
    command("who", &["w", "names", "n", "members"], "[ROOM]", "lists who is in the room"),
    command("window", &["win"], "N", "switches to room number N; /3 is the same as /window 3"),
    command(
        "go",
        &["goto"],
        "[NAME | #ROOM/N | #N]",
        "switches to a room by a part of its name, or jumps to a message",
    ),
    command("me", &["action"], "ACTION", "sends an action, shown as * ann waves"),
    command("say", &[], "TEXT", "sends a text that begins with a slash; //text is the same"),
    command("reply", &["re"], "#N TEXT", "replies to message N"),
    command(
        "edit",
        &[],
        "[#N] [TEXT]",
        "replaces your last message or message N; without a text, puts it into the input",
    ),
    command("delete", &["del"], "[#N]", "deletes your last message or message N"),
    command(
        "react",
        &[],
        "EMOJI [#N]",
        "reacts to the newest message of others or to message N, as in: /react :tea: #12",
    ),
    command("unreact", &[], "EMOJI [#N]", "takes a reaction back"),
    command("pin", &["pins"], "[#N]", "pins message N; alone, lists the pinned messages"),
    command("unpin", &[], "[#N]", "unpins the last pinned message or message N"),
    command("topic", &["t"], "[TEXT | -]", "shows the topic, sets it, or removes it"),
    command(
        "search",
        &["s", "grep"],
        "WORDS",
        "finds messages; \"two words\" stand together, kett* is the beginning of a word",
    ),
    command("lastlog", &["last"], "WORDS | -hilight", "the same as /search; -hilight is the same as /mentions"),
    command("mentions", &[], "", "lists everything that mentions you"),
    command("numbers", &[], "[on | off]", "lists the newest messages with their numbers, or shows numbers always"),
    command("read", &[], "", "marks the room as read"),
    command("unread", &[], "[#N]", "marks the room as unread, from message N on"),
    command(
        "copy",
        &["yank"],
        "[#N]",
        "sends the text of the newest message or of message N to the terminal's clipboard",
    ),
    command("editor", &["ed"], "[TEXT]", "opens $EDITOR with the text; Ctrl-X Ctrl-E does so with the input"),
    command("unsent", &[], "[send | drop]", "shows what an earlier chat could not send, sends it, or deletes it"),
    command("mute", &["unmute"], "[ROOM]", "silences the notifications of a room; /unmute ends that"),
    command("mouse", &[], "[on | off]", "lets the client have the mouse, or the terminal"),
    command("clear", &["c", "cl"], "", "scrolls the room's text away"),
    command("reconnect", &[], "", "tries to connect now instead of after the pause"),
    command("set", &["config"], "", "shows where the config file is"),
];

/// The usage of a command, by its name or an alias.
pub fn usage(name: &str) -> Option<&'static Usage> {
    COMMANDS.iter().find(|usage| usage.name == name || usage.aliases.contains(&name))
}
