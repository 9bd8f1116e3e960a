//! Accounts, tokens, certificates, and the operator's socket. The error that reports an exceeded bound states the number.

use std::time::Duration;

/// How many logins of one address may fail in a minute (ergo: 3, for passwords). A token can't be guessed anyway: this keeps
/// the log and the processor free.
pub const FAILED_LOGINS_PER_MINUTE: f64 = 10.0;

/// The share of the places for clients that guests never take where others log in, as the denominator of a fraction.
pub const LOGIN_SHARE: usize = 10;

/// How long a stream may go on after its login has expired, for its client to renew the login (Centrifugo's
/// `expired_close_delay`).
pub const LOGIN_GRACE: Duration = Duration::from_secs(25);

/// The maximum length of a JSON web token, in bytes. The library bounds all headers of a call to as much.
pub const JWT_BYTES_MAX: usize = 8 * 1024;

/// How far ahead a JSON web token may expire: until then nobody can take it back.
pub const JWT_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clock of a token's issuer may be ahead.
pub const JWT_LEEWAY: Duration = Duration::from_secs(30);

/// How many rooms a JSON web token may name.
pub const JWT_ROOMS_MAX: usize = 1000;

/// How many keys verify JSON web tokens: each of them may be tried for a token that does not name its key.
pub const JWT_KEYS_MAX: usize = 16;

/// The minimum length of a secret for JSON web tokens, in bytes (RFC 7518, 3.2, for HS256).
pub const JWT_SECRET_BYTES_MIN: usize = 32;

/// The sizes of RSA keys for JSON web tokens, in bits: the minimum is that of RFC 7518, 3.3, the maximum that of the
/// library.
pub const JWT_RSA_BITS_MIN: usize = 2048;
pub const JWT_RSA_BITS_MAX: usize = 4096;

/// How many bytes of JSON web tokens are remembered as verified, by their hashes: some thousands of tokens.
pub const JWT_VERIFIED_BYTES_MAX: usize = 1024 * 1024;

/// The maximum size of a file with keys for JSON web tokens, in bytes: a set of 16 keys with their certificates takes
/// less than 64 KiB.
pub const JWT_KEY_FILE_BYTES_MAX: u64 = 256 * 1024;

/// How many users may have an account. One takes about 300 bytes of memory.
pub const USERS_MAX: usize = 100_000;

/// How many tokens there may be, of all users: ten for each. One takes about 250 bytes of memory, and as much on the
/// disk for each that there ever was.
pub const TOKENS_MAX: usize = 1_000_000;

/// How many devices, and how many tokens for programs, one user may have. Lists show all of them at once.
pub const DEVICES_PER_USER_MAX: usize = 64;
pub const TOKENS_PER_USER_MAX: usize = 64;

/// How many invitations of one user may be open, and how long each is valid.
pub const INVITATIONS_PER_USER_MAX: usize = 8;
pub const INVITATION_TIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How many names may be banned: as many as there may be users, since names without an account may be banned too.
pub const BANS_MAX: usize = USERS_MAX;

/// How many rooms one token may be restricted to: it is compared with them at each join and each post.
pub const TOKEN_ROOMS_MAX: usize = 64;

/// The maximum length of the label of a token, in characters. Longer ones are cut.
pub const LABEL_CHARS_MAX: usize = 64;

/// How many changes of accounts are stored, in all: 800 MB. Each start reads them, 200,000 a second.
pub const ACCOUNT_EVENTS_MAX: u64 = 4_000_000;

/// How often the files of certificates and keys are read again, to find out whether they have changed. A file that can't
/// be used is reported once it has been found so twice: programs that renew certificates replace one file after another.
pub const RELOAD_INTERVAL: Duration = Duration::from_secs(5);

/// How many days before the server's certificate expires the operator is warned.
pub const EXPIRY_WARNING_DAYS: [u64; 3] = [14, 7, 1];

/// How long a change of the accounts waits for another program that has their file open.
pub const ACCOUNTS_WAIT: Duration = Duration::from_secs(5);

/// How many changes of accounts may wait for the thread that writes them. Further callers wait until there is space.
pub const ACCOUNT_ORDERS_MAX: usize = 16;

/// How long the last uses of tokens are collected before they are written together.
pub const LAST_USE_INTERVAL: Duration = Duration::from_secs(60);

/// How many users or tokens a page of a list for the operator has, and one user's tokens more.
pub const OPERATOR_PAGE: usize = 500;

/// How many threads serve the operator's commands, so that one slow client delays no other.
pub const OPERATOR_THREADS: usize = 2;

/// The maximum length of a request and of a response on the operator's socket, in bytes: a token with all its rooms,
/// and a page of tokens with all theirs.
pub const OPERATOR_REQUEST_BYTES_MAX: usize = 64 * 1024;
pub const OPERATOR_RESPONSE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How many requests one connection of the operator's socket may make: the pages of the longest list.
pub const OPERATOR_REQUESTS_MAX: usize = 10_000;

/// How long a client of the operator's socket may take to send a request, or to read a response. The commands wait for
/// a response a little longer than a change waits for the file.
pub const OPERATOR_TIMEOUT: Duration = Duration::from_secs(5);
pub const OPERATOR_RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a command waits for a data folder whose server is starting or stopping, or that other commands use.
pub const OPERATOR_FOLDER_WAIT: Duration = Duration::from_secs(3);
