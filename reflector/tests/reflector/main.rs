//! The reflector over real sockets: answers, refusals, caps, books, and the program itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so does what it calls")]

mod answers;
mod bad_input;
mod books;
mod caps;
mod program;
mod support;
mod udp;
