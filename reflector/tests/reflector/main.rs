//! The reflector over real sockets: answers, refusals, caps, books, and the program itself.

mod answers;
mod bad_input;
mod books;
mod caps;
mod program;
mod support;
