//! What the load balancer counts about requests that it refuses; which ones those are is in the
//! conformance table.

use crate::testbed::{Client, Server, lb, metric};

#[test]
fn refusals_are_counted_as_responses_and_as_errors_of_the_client() {
    let server = Server::named("one");
    let lb = lb("", &[&server]);
    for (status, request) in [(400, "GET /\r\n\r\n"), (505, "GET / HTTP/2.0\r\n\r\n"), (400, "GET / HTTP/1.1\r\n\r\n")]
    {
        let mut client = Client::to(&lb);
        let response = client.say(request).response();
        assert_eq!(response.status, status, "{request:?}");
        assert_eq!(client.rest(), "");
    }
    assert_eq!(server.connections(), 0, "{:?}", server.seen());
    let count = |name: &str| metric(&lb, &format!("lb_service_{name}"));
    assert_eq!(count("http_responses_total{service=\"web\",code=\"4xx\"}"), 2);
    assert_eq!(count("http_responses_total{service=\"web\",code=\"5xx\"}"), 1);
    assert_eq!(count("request_errors_total{service=\"web\"}"), 2);
}
