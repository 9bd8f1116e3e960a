//! The chat over the tutorial's contract: one room, no history, and lines in doubt where a connection is lost.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::input::Outlet;
use super::options::ChatOptions;
use super::screen::Screen;
use super::{Server, TerminalError, converse};
use crate::client::tutorial::{Event, Session, doubt};
use crate::client::{Connector, Policy, lines};
use crate::names::{Kind, UserName};

/// Talks until the input ends, the output closes, or the session fails.
pub fn chat(server: Server, name: UserName, options: &ChatOptions) -> Result<(), TerminalError> {
    let policy = if options.no_reconnect { Policy::Fail } else { Policy::Reconnect };
    let screen = Arc::new(Screen::default());
    let shown = Arc::clone(&screen);
    let Server { address, timeout } = server;
    let on_event = move |event| show(&shown, event);
    let session = Session::start(Connector::new(1), address.clone(), policy, timeout, on_event)?;
    let outlet = Outlet::Tutorial { inlet: session.inlet(), name: name.clone() };
    let welcome = format!("connected to {address} as {name}; /help lists the commands, Ctrl-D ends");
    let skipped = Arc::new(AtomicU64::new(0));
    converse(screen, skipped, outlet, &welcome, || session.wait().map_err(TerminalError::Tutorial))
}

/// Shows what happens. Breaks when nobody reads it any more.
fn show(screen: &Screen, event: Event) -> ControlFlow<()> {
    match event {
        Event::Message(message) => {
            // A closed output is how a reader says that it has seen enough.
            if screen.print_message(&message.name, &message.body, Kind::Text).is_err() {
                return ControlFlow::Break(());
            }
        }
        Event::Disconnected { reason, doubtful } => {
            screen.notice(&format!("disconnected: {reason}{}", doubt(doubtful)));
        }
        Event::Retrying { pause } => screen.notice(&format!("trying again in {:.1} s", pause.as_secs_f64())),
        Event::Reconnected { kept: 0 } => screen.notice("connected again"),
        Event::Reconnected { kept } => {
            screen.notice(&format!("connected again; sending {} kept meanwhile", lines(kept as u64)))
        }
    }
    ControlFlow::Continue(())
}
