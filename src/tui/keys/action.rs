//! What keys do. Each action has a name, for the config and the docs.

/// Where a key is pressed. Each has a key map of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Context {
    /// The input line: the usual case.
    #[default]
    Input,
    /// A message is selected (Alt-v).
    Select,
    /// A list is open: results, mentions, rooms by name.
    List,
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Changes the input line.
    Edit(Edit),
    /// Sends the line, or executes its command; accepts what a search in the history found.
    Enter,
    /// Completes the word before the cursor.
    Complete,
    CompleteBack,
    /// Opens `$EDITOR` with the input line.
    EditOutside,
    /// Closes what is open, or abandons what was begun.
    Cancel,
    /// Clears the line; on an empty line, the second one leaves.
    Interrupt,
    Suspend,
    /// The room with that number, from 1.
    Room(u16),
    /// The room whose two digits follow. [`super::Keys`] reads them, and reports [`Action::Room`].
    RoomNumber,
    NextRoom,
    PreviousRoom,
    /// The next room with something: mentions, then direct messages, then messages, then back.
    NextActiveRoom,
    /// The room before this one.
    LastRoom,
    /// A list of rooms to choose from by a part of the name.
    GoToRoom,
    PageUp,
    PageDown,
    LineUp,
    LineDown,
    Oldest,
    /// The newest message, and what comes.
    Live,
    /// The end of the line, or [`Action::Live`] if it is empty. [`super::Keys`] reports one of the two.
    End,
    ToUnread,
    /// Everything in this room is read. [`super::Keys`] reports it for [`Action::Enter`] on an empty line.
    MarkRead,
    MarkUnread,
    PreviousMention,
    NextMention,
    /// A list of all mentions.
    Mentions,
    /// A search in the messages.
    Find,
    /// Begins to select a message.
    Select,
    ToggleRooms,
    TogglePeople,
    /// The text alone, without frames, for copying with the mouse.
    BareScreen,
    Redraw,
    ToggleMouse,
    Help,
    /// Concerns the selected message.
    Selected(Selected),
    /// Concerns the open list.
    List(List),
}

/// A change of the input line, see [`crate::tui::line_editor::LineEditor::edit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    Left,
    Right,
    WordLeft,
    WordRight,
    LineStart,
    LineEnd,
    /// The row above, or the line before in the history of the room.
    Up,
    Down,
    /// The line before in the history of all rooms.
    UpInAll,
    DownInAll,
    SearchHistory,
    NewLine,
    Backspace,
    Delete,
    KillWordLeft,
    KillBlankWordLeft,
    KillWordRight,
    KillToStart,
    KillToEnd,
    Yank,
    Transpose,
    Undo,
}

/// What is done with the selected message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Selected {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    Copy,
    CopyWithName,
    CopyPlace,
    OpenLink,
    Reply,
    Edit,
    Delete,
    React,
    Pin,
    /// It and what follows is unread.
    MarkUnread,
    /// Fetches a gap, or unfolds a long text.
    Open,
    Leave,
}

/// What is done with an open list. Text filters it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum List {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
    /// Jumps to the entry.
    Choose,
    /// Shortens the filter.
    Backspace,
    Clear,
    Leave,
}

/// The largest number of a room that a key has.
pub const ROOM_NUMBER_MAX: u16 = 99;

/// The actions with their names. `room-1` to `room-99` come besides.
pub const NAMED: [(Context, &str, Action); 89] = {
    use self::Context as C;
    [
        (C::Input, "enter", Action::Enter),
        (C::Input, "new-line", Action::Edit(Edit::NewLine)),
        (C::Input, "left", Action::Edit(Edit::Left)),
        (C::Input, "right", Action::Edit(Edit::Right)),
        (C::Input, "word-left", Action::Edit(Edit::WordLeft)),
        (C::Input, "word-right", Action::Edit(Edit::WordRight)),
        (C::Input, "line-start", Action::Edit(Edit::LineStart)),
        (C::Input, "line-end", Action::Edit(Edit::LineEnd)),
        (C::Input, "end", Action::End),
        (C::Input, "up", Action::Edit(Edit::Up)),
        (C::Input, "down", Action::Edit(Edit::Down)),
        (C::Input, "up-in-all", Action::Edit(Edit::UpInAll)),
        (C::Input, "down-in-all", Action::Edit(Edit::DownInAll)),
        (C::Input, "search-history", Action::Edit(Edit::SearchHistory)),
        (C::Input, "backspace", Action::Edit(Edit::Backspace)),
        (C::Input, "delete", Action::Edit(Edit::Delete)),
        (C::Input, "kill-word-left", Action::Edit(Edit::KillWordLeft)),
        (C::Input, "kill-blank-word-left", Action::Edit(Edit::KillBlankWordLeft)),
        (C::Input, "kill-word-right", Action::Edit(Edit::KillWordRight)),
        (C::Input, "kill-to-start", Action::Edit(Edit::KillToStart)),
        (C::Input, "kill-to-end", Action::Edit(Edit::KillToEnd)),
        (C::Input, "yank", Action::Edit(Edit::Yank)),
        (C::Input, "transpose", Action::Edit(Edit::Transpose)),
        (C::Input, "undo", Action::Edit(Edit::Undo)),
        (C::Input, "complete", Action::Complete),
        (C::Input, "complete-back", Action::CompleteBack),
        (C::Input, "edit-outside", Action::EditOutside),
        (C::Input, "cancel", Action::Cancel),
        (C::Input, "interrupt", Action::Interrupt),
        (C::Input, "suspend", Action::Suspend),
        (C::Input, "room-number", Action::RoomNumber),
        (C::Input, "next-room", Action::NextRoom),
        (C::Input, "previous-room", Action::PreviousRoom),
        (C::Input, "next-active-room", Action::NextActiveRoom),
        (C::Input, "last-room", Action::LastRoom),
        (C::Input, "go-to-room", Action::GoToRoom),
        (C::Input, "page-up", Action::PageUp),
        (C::Input, "page-down", Action::PageDown),
        (C::Input, "line-up", Action::LineUp),
        (C::Input, "line-down", Action::LineDown),
        (C::Input, "oldest", Action::Oldest),
        (C::Input, "live", Action::Live),
        (C::Input, "to-unread", Action::ToUnread),
        (C::Input, "mark-read", Action::MarkRead),
        (C::Input, "mark-unread", Action::MarkUnread),
        (C::Input, "previous-mention", Action::PreviousMention),
        (C::Input, "next-mention", Action::NextMention),
        (C::Input, "mentions", Action::Mentions),
        (C::Input, "find", Action::Find),
        (C::Input, "select", Action::Select),
        (C::Input, "toggle-rooms", Action::ToggleRooms),
        (C::Input, "toggle-people", Action::TogglePeople),
        (C::Input, "bare-screen", Action::BareScreen),
        (C::Input, "redraw", Action::Redraw),
        (C::Input, "toggle-mouse", Action::ToggleMouse),
        (C::Input, "help", Action::Help),
        (C::Select, "up", Action::Selected(Selected::Up)),
        (C::Select, "down", Action::Selected(Selected::Down)),
        (C::Select, "page-up", Action::Selected(Selected::PageUp)),
        (C::Select, "page-down", Action::Selected(Selected::PageDown)),
        (C::Select, "first", Action::Selected(Selected::First)),
        (C::Select, "last", Action::Selected(Selected::Last)),
        (C::Select, "copy", Action::Selected(Selected::Copy)),
        (C::Select, "copy-with-name", Action::Selected(Selected::CopyWithName)),
        (C::Select, "copy-place", Action::Selected(Selected::CopyPlace)),
        (C::Select, "open-link", Action::Selected(Selected::OpenLink)),
        (C::Select, "reply", Action::Selected(Selected::Reply)),
        (C::Select, "edit", Action::Selected(Selected::Edit)),
        (C::Select, "delete", Action::Selected(Selected::Delete)),
        (C::Select, "react", Action::Selected(Selected::React)),
        (C::Select, "pin", Action::Selected(Selected::Pin)),
        (C::Select, "mark-unread", Action::Selected(Selected::MarkUnread)),
        (C::Select, "open", Action::Selected(Selected::Open)),
        (C::Select, "leave", Action::Selected(Selected::Leave)),
        (C::Select, "redraw", Action::Redraw),
        (C::Select, "suspend", Action::Suspend),
        (C::Select, "help", Action::Help),
        (C::List, "up", Action::List(List::Up)),
        (C::List, "down", Action::List(List::Down)),
        (C::List, "page-up", Action::List(List::PageUp)),
        (C::List, "page-down", Action::List(List::PageDown)),
        (C::List, "first", Action::List(List::First)),
        (C::List, "last", Action::List(List::Last)),
        (C::List, "choose", Action::List(List::Choose)),
        (C::List, "backspace", Action::List(List::Backspace)),
        (C::List, "clear", Action::List(List::Clear)),
        (C::List, "leave", Action::List(List::Leave)),
        (C::List, "redraw", Action::Redraw),
        (C::List, "suspend", Action::Suspend),
    ]
};

impl Action {
    /// The action with that name.
    pub fn named(context: Context, name: &str) -> Option<Self> {
        let number = || {
            let number = name.strip_prefix("room-").filter(|_| context == Context::Input)?.parse().ok()?;
            (1..=ROOM_NUMBER_MAX).contains(&number).then_some(Self::Room(number))
        };
        let named = NAMED.iter().find(|(of, known, _)| *of == context && *known == name);
        named.map(|(.., action)| *action).or_else(number)
    }

    /// Whether it leads away from a selected message, or changes nothing but the frame.
    pub fn leaves_message(self) -> bool {
        matches!(
            self,
            Self::Room(_)
                | Self::RoomNumber
                | Self::NextRoom
                | Self::PreviousRoom
                | Self::NextActiveRoom
                | Self::LastRoom
                | Self::GoToRoom
                | Self::ToggleRooms
                | Self::TogglePeople
                | Self::BareScreen
                | Self::ToggleMouse
        )
    }

    /// Its name.
    pub fn name(self, context: Context) -> Option<String> {
        match self {
            Self::Room(number) => Some(format!("room-{number}")),
            action => {
                let named = NAMED.iter().find(|(of, _, known)| *of == context && *known == action);
                named.map(|(_, name, _)| (*name).to_owned())
            }
        }
    }
}
