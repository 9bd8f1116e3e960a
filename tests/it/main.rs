//! Tests against a real server, a module a concern. What is timed waits for a condition with a deadline.

mod support;

mod bad_input;
mod compatible;
mod drain;
mod fanout;
mod leaving;
mod slow_reader;
mod repeat;
mod terminal;
