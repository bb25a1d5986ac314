//! Whether what a server has answered so far is what the check expects. Pure.
//!
//! It needs no more of HTTP than a check does: the status, and where the body ends. The body is read
//! to its end even if only the status counts, so that the server does not see its answer cut off.

use crate::config::StatusSet;

/// Most bytes of an answer that are looked at, head and body together.
pub(super) const RESPONSE_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;

/// What a GET has to be answered with.
#[derive(Debug)]
pub(super) struct Expectation<'a> {
    pub(super) status: &'a StatusSet,
    pub(super) content: Option<&'a str>,
}

/// The result of a check: what was found, good or bad.
pub(super) type Judgement = Result<String, String>;

impl Expectation<'_> {
    /// Judges the bytes received so far; `None` if more are needed. `ended` says that none will come.
    pub(super) fn judge(&self, received: &[u8], ended: bool) -> Option<Judgement> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(received) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) if ended || received.len() >= RESPONSE_MAX => {
                return Some(Err(format!("the answer ended in its head, after {} bytes", received.len())));
            }
            Ok(httparse::Status::Partial) => return None,
            Err(error) => return Some(Err(format!("the answer is not HTTP: {error}"))),
        };
        let status = response.code.unwrap_or(0);
        if !self.status.contains(status) {
            return Some(Err(format!("status {status} was not expected")));
        }
        let raw = &received[head..];
        let (body, complete) = body(response.headers, status, raw);
        let last = ended || complete || received.len() >= RESPONSE_MAX;
        let Some(content) = self.content else { return last.then(|| Ok(format!("status {status}"))) };
        if contains(&body, content.as_bytes()) {
            return Some(Ok(format!("status {status} with the content")));
        }
        last.then(|| {
            let length = body.len();
            Err(format!("status {status}, but its body of {length} bytes does not contain {content:?}"))
        })
    }
}

/// The body as far as it is there, without chunk frames, and whether that is all of it.
fn body(headers: &[httparse::Header<'_>], status: u16, raw: &[u8]) -> (Vec<u8>, bool) {
    let value = |name: &str| {
        let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    };
    if status == 204 || status == 304 {
        return (Vec::new(), true);
    }
    if value("transfer-encoding").is_some_and(|coding| coding.trim().eq_ignore_ascii_case("chunked")) {
        return dechunk(raw);
    }
    let length = value("content-length").and_then(|length| length.trim().parse::<usize>().ok());
    let kept = length.map_or(raw, |length| &raw[..raw.len().min(length)]);
    (kept.to_vec(), length.is_some_and(|length| raw.len() >= length))
}

fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(raw) {
        if size == 0 {
            return (body, true);
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let there = &raw[start..];
        body.extend_from_slice(&there[..there.len().min(size)]);
        // The chunk and the CRLF behind it.
        let Some(rest) = size.checked_add(2).and_then(|end| there.get(end..)) else { break };
        raw = rest;
    }
    (body, false)
}

fn contains(body: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(content: Option<&str>, received: &str, ended: bool) -> Option<Judgement> {
        let status: StatusSet = "200,204".parse().unwrap();
        Expectation { status: &status, content }.judge(received.as_bytes(), ended)
    }

    #[test]
    fn a_complete_answer_is_judged_without_waiting_for_the_close() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(judge(None, answer, false), Some(Ok("status 200".into())));
        assert_eq!(judge(None, &answer[..answer.len() - 1], false), None, "the body is not complete");
        assert_eq!(judge(None, &answer[..20], false), None, "the head is not complete");
    }

    #[test]
    fn content_is_found_across_chunks() {
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n5\r\n good\r\n0\r\n\r\n";
        assert_eq!(judge(Some("all good"), answer, false), Some(Ok("status 200 with the content".into())));
        let missing = judge(Some("bad"), answer, false);
        assert_eq!(missing, Some(Err("status 200, but its body of 8 bytes does not contain \"bad\"".into())));
    }

    #[test]
    fn a_wrong_status_garbage_and_a_cut_head_fail() {
        assert_eq!(judge(None, "HTTP/1.1 503 No\r\n\r\n", false), Some(Err("status 503 was not expected".into())));
        assert!(
            judge(None, "SSH-2.0-OpenSSH_9.2\r\n", false).unwrap().unwrap_err().starts_with("the answer is not HTTP")
        );
        assert_eq!(judge(None, "HTTP/1.1 200", true), Some(Err("the answer ended in its head, after 12 bytes".into())));
    }

    #[test]
    fn an_endless_answer_is_judged_at_the_bound() {
        let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(RESPONSE_MAX));
        assert_eq!(judge(None, &endless, false), Some(Ok("status 200".into())));
        assert!(judge(Some("y"), &endless, false).unwrap().is_err());
        let endless_head = format!("HTTP/1.1 200 OK\r\nX: {}", "x".repeat(RESPONSE_MAX));
        assert!(judge(None, &endless_head, false).unwrap().is_err());
    }

    #[test]
    fn huge_chunk_and_content_lengths_do_not_overflow() {
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nabc";
        assert_eq!(judge(None, chunked, false), None);
        let length = "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\nabc";
        assert_eq!(judge(None, length, false), None);
    }
}
