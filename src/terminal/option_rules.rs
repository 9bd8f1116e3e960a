//! The rules of the command line that concern several options at once.

use super::options::{
    ChatCommand, ChatOptions, Command, FormatOptions, HistoryOptions, LoginCommand, Options, TailOptions,
};
use crate::address::Address;
use crate::arguments::{Given, ProgramOptions};
use crate::client::Contract;
use crate::names::RoomName;

impl ProgramOptions for Options {
    const PROGRAM: &'static str = "hubbub";

    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = match &mut self.command {
            None => self.chat.check(given),
            Some(Command::Chat(command)) => command.check(given),
            Some(Command::Tail(tail)) => tail.check(given),
            Some(Command::History(history)) => history.check(given),
            Some(Command::Login(login)) => login.check(given),
            Some(Command::Search(search)) => search.format.check(given),
            Some(
                Command::Send(_) | Command::Rooms(_) | Command::Members(_) | Command::Export(_) | Command::Import(_),
            ) => Vec::new(),
        };
        faults.extend(self.tls.check(given));
        if self.server.is_none() {
            faults.extend(Address::default_local().err().map(|fault| fault.to_string()));
        }
        faults
    }
}

impl ChatOptions {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        self.names_rooms |= given.is_flag("room") || given.is_variable("room");
        if self.contract == Contract::Tutorial {
            let history = "the tutorial's contract has no history";
            faults.extend(given.useless("contract", &["last"], history));
            if self.room != RoomName::lobby() {
                faults.extend(given.useless("contract", &["room"], "the tutorial's contract has no room but lobby"));
            }
        }
        if self.no_reconnect {
            faults.extend(given.useless("no_reconnect", &["timeout"], "the first lost connection ends the chat"));
        }
        faults
    }
}

impl ChatCommand {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut rooms = std::mem::take(&mut self.rooms).into_iter();
        let Some(room) = rooms.next() else { return self.chat.check(given) };
        let mut faults = Vec::new();
        if given.is_flag("room") {
            faults.push("the room is given twice: leave out --room".to_owned());
        }
        self.chat.others = rooms.filter(|other| *other != room).collect();
        if self.chat.contract == Contract::Tutorial {
            let others = [&room].into_iter().chain(&self.chat.others).filter(|room| **room != RoomName::lobby());
            let fault = |room| format!("{room} can't be used: the tutorial's contract has no room but lobby");
            faults.extend(others.map(fault));
        }
        (self.chat.room, self.chat.names_rooms) = (room, true);
        faults.extend(self.chat.check(&given.without("room")));
        faults
    }
}

impl LoginCommand {
    fn check(&self, given: &Given<'_>) -> Vec<String> {
        let mut faults = Vec::new();
        if self.invitation.as_ref().is_some_and(|invitation| invitation.server.is_some()) && given.is_flag("server") {
            faults.push("--server can't be used with a link, which has the server's address: leave it out".to_owned());
        }
        if given.is_flag("name") {
            faults.push("--name can't be used with login: the invitation is for one user; leave it out".to_owned());
        }
        faults
    }
}

impl TailOptions {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = self.format.check(given);
        if self.from.is_some() {
            faults.extend(given.useless("from", &["last"], "both set the start"));
        }
        faults
    }
}

impl HistoryOptions {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        let mut faults = self.format.check(given);
        if let (Some(after), Some(before)) = (self.after, self.before)
            && after > before
        {
            let (after_name, before_name) = (given.name("after"), given.name("before"));
            faults.push(format!("{after_name} {after} is behind {before_name} {before}: exchange them"));
        }
        faults
    }
}

impl FormatOptions {
    fn check(&mut self, given: &Given<'_>) -> Vec<String> {
        // The last option counts, and it overrides the variable. clap's `overrides_with` can't do that: it treats a
        // variable like an option.
        for (yes, no, id, no_id) in
            [(&mut self.time, &mut self.no_time, "time", "no_time"), (&mut self.seq, &mut self.no_seq, "seq", "no_seq")]
        {
            *no = match (given.is_flag(id), given.is_flag(no_id)) {
                (true, true) => given.follows(no_id, id),
                (false, false) => given.is_off(id),
                (_, off) => off,
            };
            *yes &= !*no;
        }
        if !self.json {
            return Vec::new();
        }
        let ids = ["time", "no_time", "seq", "no_seq"];
        given.useless("json", &ids, "a JSON object always has seq and time_ms").collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{self, Stop};

    fn read(arguments: &str) -> Result<Options, Stop> {
        arguments::read(arguments.split(' ').map(Into::into).collect())
    }

    fn faults(arguments: &str) -> Vec<String> {
        match read(arguments).unwrap_err() {
            Stop::Faults(faults) => faults,
            Stop::Help(help) => panic!("{help}"),
        }
    }

    #[test]
    fn chat_is_the_default_command() {
        let options = read("hubbub --server 127.0.0.1:1 --room tea --last 3").unwrap();
        assert!(options.command.is_none());
        assert_eq!((options.chat.room.as_str(), options.chat.last), ("tea", 3));
        for arguments in ["hubbub chat --room tea --server 127.0.0.1:1", "hubbub --server 127.0.0.1:1 chat tea"] {
            let options = read(arguments).unwrap();
            assert!(matches!(options.command, Some(Command::Chat(command)) if command.chat.room.as_str() == "tea"));
            assert!(options.server.is_some());
        }
        let options = read("hubbub chat tea dev tea --server 127.0.0.1:1").unwrap();
        let Some(Command::Chat(command)) = options.command else { panic!("it is a chat") };
        assert_eq!((command.chat.room.as_str(), command.chat.others.len()), ("tea", 1));
        assert!(command.chat.names_rooms);
        assert!(read("hubbub chat dev --contract tutorial").is_err());
        assert_eq!(faults("hubbub chat tea --room milk"), ["the room is given twice: leave out --room"]);
    }

    #[test]
    fn options_without_effect_are_refused() {
        for arguments in ["hubbub --room tea chat", "hubbub --room tea rooms", "hubbub --contract tutorial send a b"] {
            assert_eq!(faults(arguments).len(), 1, "{arguments}");
        }
        assert_eq!(faults("hubbub --room tea chat"), ["--room must follow chat: write chat --room …"]);
        assert_eq!(faults("hubbub --room tea rooms"), ["--room can't be used with rooms: leave it out"]);
        assert!(read("hubbub --server 127.0.0.1:1 --name ann rooms").is_ok());
    }

    #[test]
    fn contradicting_options_are_refused() {
        for (arguments, fault) in [
            ("hubbub --contract tutorial --room tea", "--room can't be used with --contract tutorial: the tutorial's"),
            ("hubbub --contract tutorial --last 5", "--last can't be used with --contract tutorial"),
            ("hubbub chat tea --contract tutorial", "tea can't be used: the tutorial's"),
            ("hubbub --no-reconnect --timeout 5s", "--timeout can't be used with --no-reconnect: the first lost"),
            ("hubbub tail tea --from 3 --last 5", "--last can't be used with --from 3: both set the start"),
            ("hubbub tail tea --json --time", "--time can't be used with --json"),
            ("hubbub history tea --json --no-seq", "--no-seq can't be used with --json"),
            ("hubbub history tea --after 6 --before 5", "--after 6 is behind --before 5: exchange them"),
        ] {
            assert!(faults(arguments)[0].starts_with(fault), "{:?}", faults(arguments));
        }
        assert!(read("hubbub chat lobby --contract tutorial").is_ok());
        assert!(read("hubbub history tea --after 5 --before 6 --limit 0").is_ok());
    }

    #[test]
    fn the_last_option_sets_a_column() {
        let columns = |arguments: &str| match read(arguments).unwrap().command {
            Some(Command::Tail(tail)) => (tail.format.format(false).time, tail.format.format(false).seq),
            command => panic!("{command:?}"),
        };
        assert_eq!(columns("hubbub tail tea --time --seq"), (true, true));
        assert_eq!(columns("hubbub tail tea --no-time --time --seq --no-seq"), (true, false));
        assert_eq!(columns("hubbub tail tea --no-time --no-seq"), (false, false));
    }

    #[test]
    fn words_are_one_message_and_rooms_are_checked() {
        let options = read("hubbub send tea the kettle boils").unwrap();
        assert!(matches!(options.command, Some(Command::Send(send)) if send.text.join(" ") == "the kettle boils"));
        assert!(faults("hubbub tail .tea")[0].contains("no '.' at the beginning"));
    }

    /// A regression: `hubbub send tea -x` was "unexpected argument '-x' found", without a hint how to send it.
    #[test]
    fn text_that_begins_with_a_dash_follows_two_dashes() {
        let options = read("hubbub send tea -- -x --json").unwrap();
        assert!(matches!(options.command, Some(Command::Send(send)) if send.text == ["-x", "--json"] && !send.json));
        let expected = "unknown option -x: if it is text to send, put -- before it: hubbub send tea -- -x …";
        assert_eq!(faults("hubbub send tea -x")[0], expected);
        assert_eq!(faults("hubbub --name ann send tea well -x")[0], expected);
        assert_eq!(faults("hubbub send --jsn tea x")[0], "unknown option --jsn: did you mean --json?");
    }

    /// A regression: of five mistakes clap reported the first, so it took five attempts to find them all.
    #[test]
    fn all_invalid_values_are_reported_at_once() {
        let found = faults("hubbub history .tea --limit 1.5 --after x --timeout soon --server :5000");
        for (fault, start) in found.iter().zip([
            "invalid value \".tea\" for <ROOM>: ",
            "invalid value \"1.5\" for --limit: expected a whole number from 0 upwards",
            "invalid value \"x\" for --after: expected a whole number from 0 upwards",
            "invalid value \"soon\" for --timeout: expected seconds, or a number with a unit",
            "invalid value \":5000\" for --server: ",
        ]) {
            assert!(fault.starts_with(start), "{found:?}");
        }
        assert_eq!(found.len(), 5, "{found:?}");
    }

    /// clap lists the values of an enumeration beside its error, not in it.
    #[test]
    fn an_invalid_value_of_an_enumeration_names_the_valid_ones() {
        for (arguments, expected) in [
            ("hubbub --contract v2", "invalid value \"v2\" for --contract: expected v1 or tutorial"),
            ("hubbub --contract V1", "invalid value \"V1\" for --contract: expected v1 or tutorial"),
            ("hubbub --contract", "missing value for --contract: expected v1 or tutorial"),
        ] {
            assert_eq!(faults(arguments)[0], expected);
        }
    }

    #[test]
    fn syntax_errors_have_a_suggestion() {
        for (arguments, expected) in [
            ("hubbub tial tea", "unknown command \"tial\": did you mean tail?"),
            ("hubbub --name ann @work", "the profile @work must come first, as in: hubbub @work"),
            ("hubbub milk", "unknown command \"milk\": to chat in a room of that name, write hubbub chat milk"),
            ("hubbub tail", "missing argument: <ROOM>"),
            ("hubbub tail tea milk", "unexpected argument \"milk\": leave it out"),
            ("hubbub tail tea --lats 5", "unknown option --lats: did you mean --last?"),
            ("hubbub tail tea --last", "missing value for --last: write --last <N>"),
            ("hubbub tail tea --last 1 --last 2", "--last is given several times: leave one out"),
            ("hubbub tail tea --json=yes", "--json takes no value: leave out \"yes\""),
        ] {
            assert_eq!(faults(arguments)[0], expected);
            assert!(faults(arguments).last().unwrap().ends_with("--help"));
        }
    }
}
