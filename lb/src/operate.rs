//! What an operator touches: the command line, the admin HTTP server, the access log.

pub(crate) mod access_log;
pub(crate) mod admin;
pub(crate) mod command_line;
