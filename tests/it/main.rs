//! Tests against a real server, a module a concern. What is timed waits for a condition with a deadline.

mod support;

mod bad_input;
mod hostile;
mod chat;
mod unary;
mod upgrade;
mod pending;
mod compatible;
mod disk;
mod full;
mod drain;
mod reach;
mod fanout;
mod leaving;
mod model;
mod slow_reader;
mod storage;
mod structure;
mod behind;
mod crash;
mod cut;
mod power;
mod live_faults;
mod backup;
mod restore;
mod damage;
mod retention;
mod erase;
mod clock;
mod sender;
mod repeat;
mod rooms;
mod terminal;
mod command_line;
mod readme;
