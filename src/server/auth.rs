//! Who a client is, and what it may do.
//!
//! A call begins with its [`credentials`], as the transport has them. The
//! [`Authenticator`](authenticator::Authenticator) turns them into a [`Principal`](principal::Principal), in one of four
//! modes: open (names are claims), accounts (tokens), JSON web tokens, and client certificates. [`access`] decides what
//! a principal may do.

pub mod principal;
pub mod access;
pub mod credentials;
pub mod login;
pub mod token;
pub mod accounts;
pub mod jwt;
pub mod certificate;
pub mod authenticator;
pub mod stream_login;
#[cfg(fuzzing)]
pub mod fuzz;
