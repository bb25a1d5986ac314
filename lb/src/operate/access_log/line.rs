//! One line of the access log, as text for people or as JSON.

use std::io::{self, Write};

use super::Entry;
use crate::config::LogFormat;

/// Writes one entry as one line. Nothing a client sent can end the line or leave its quotes.
pub(super) fn write(out: &mut impl Write, format: LogFormat, now: &str, entry: &Entry) -> io::Result<()> {
    match format {
        LogFormat::Text => write_text(out, now, entry),
        LogFormat::Json => write_json(out, now, entry),
    }
}

fn server(entry: &Entry) -> &str {
    entry.server.as_ref().map_or("-", |server| &server.name)
}

fn write_text(out: &mut impl Write, now: &str, entry: &Entry) -> io::Result<()> {
    write!(out, "{now} service={} client={} server={}", entry.service.name, entry.peer, server(entry))?;
    if let Some(request) = &entry.request {
        // Escapes quotes, backslashes and everything that is not visible ASCII.
        write!(out, " request=\"{}\" status={}", request.escape_ascii(), entry.status)?;
    }
    let duration_us = entry.duration.as_micros();
    let (bytes_in, bytes_out, end) = (entry.bytes_in, entry.bytes_out, entry.end);
    writeln!(out, " bytes_in={bytes_in} bytes_out={bytes_out} duration_us={duration_us} end={end}")
}

fn write_json(out: &mut impl Write, now: &str, entry: &Entry) -> io::Result<()> {
    let mut line = serde_json::json!({
        "time": now,
        "service": entry.service.name,
        "client": entry.peer,
        "server": entry.server.as_ref().map(|server| &server.name),
        "bytes_in": entry.bytes_in,
        "bytes_out": entry.bytes_out,
        "duration_us": entry.duration.as_micros() as u64,
        "end": entry.end,
    });
    if let Some(request) = &entry.request {
        line["request"] = String::from_utf8_lossy(request).into();
        line["status"] = entry.status.into();
    }
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Config;
    use std::time::Duration;

    pub(in crate::operate::access_log) fn entry() -> Entry {
        let text = "[[virtual_service]]\nname = 'web'\nlisten = '127.0.0.1:0'\nmode = 'http'\ngroup = 'g'\n\
                    [[group]]\nname = 'g'\nreal_servers = [{ name = 'r1', address = '127.0.0.1:1' }]\n";
        let config = Config::parse("test.toml", text).unwrap();
        Entry {
            service: config.services[0].clone(),
            peer: "192.0.2.1:4711".parse().unwrap(),
            server: Some(config.groups[0].servers[0].clone()),
            request: Some(b"GET /\"\n\xff HTTP/1.1".as_slice().into()),
            status: 200,
            bytes_in: 70,
            bytes_out: 1100,
            duration: Duration::from_micros(1234),
            end: "ok",
        }
    }

    fn line(format: LogFormat) -> String {
        let mut out = Vec::new();
        write(&mut out, format, "2026-11-23T04:05:06.789Z", &entry()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_one_line_in_which_a_client_cannot_forge_another() {
        assert_eq!(
            line(LogFormat::Text),
            "2026-11-23T04:05:06.789Z service=web client=192.0.2.1:4711 server=r1 request=\"GET /\\\"\\n\\xff HTTP/1.1\" \
             status=200 bytes_in=70 bytes_out=1100 duration_us=1234 end=ok\n"
        );
    }

    #[test]
    fn json_is_one_object_per_line() {
        let line = line(LogFormat::Json);
        assert_eq!(line.matches('\n').count(), 1);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["request"], "GET /\"\n\u{fffd} HTTP/1.1");
        assert_eq!((value["status"].as_u64(), value["duration_us"].as_u64()), (Some(200), Some(1234)));
        assert_eq!((value["client"].as_str(), value["server"].as_str()), (Some("192.0.2.1:4711"), Some("r1")));
    }
}
