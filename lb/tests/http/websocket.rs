//! WebSocket through an upgrade, with a client and servers that speak it for real (tungstenite).

use std::io::{ErrorKind, Read as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use lb::Lb;
use tungstenite::protocol::CloseFrame;
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tungstenite::{Error, HandshakeError, Message, WebSocket};

use crate::testbed::{Client, PATIENCE, Server, lb, lb_on, metric, until};

const URL: &str = "ws://h/chat";

type Socket = WebSocket<TcpStream>;

fn connect(lb: &Lb) -> Socket {
    let (socket, response) = tungstenite::client(URL, Client::to(lb).0).unwrap();
    assert_eq!(response.status(), 101);
    socket
}

/// Sends back every text and binary message, and answers pings and closes as the protocol has it.
fn echo() -> Server {
    Server::start(|peer| {
        let mut socket = tungstenite::accept(peer.stream()).unwrap();
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message).unwrap();
            }
        }
    })
}

fn end_of(socket: &mut Socket) -> Error {
    loop {
        match socket.read() {
            Ok(message) => assert!(message.is_close(), "{message:?}"),
            Err(error) => return error,
        }
    }
}

#[test]
fn messages_of_every_kind_pass_both_ways() {
    let server = echo();
    let lb = lb("", &[&server]);
    let mut socket = connect(&lb);
    let bytes: Vec<u8> = (0..=255).collect();
    for message in [Message::text("hello \u{20ac}"), Message::text(""), Message::binary(bytes), Message::binary("")] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.send(Message::Ping("are you there".into())).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Pong("are you there".into()));
    // A ping between two fragments does not disturb the message they make.
    for frame in [
        Frame::message("one, ", OpCode::Data(Data::Text), false),
        Frame::message("two, ", OpCode::Data(Data::Continue), false),
        Frame::ping("still"),
        Frame::message("three", OpCode::Data(Data::Continue), true),
    ] {
        socket.send(Message::Frame(frame)).unwrap();
    }
    assert_eq!(socket.read().unwrap(), Message::Pong("still".into()));
    assert_eq!(socket.read().unwrap(), Message::text("one, two, three"));
}

#[test]
fn a_large_message_passes_whole_both_ways() {
    let server = echo();
    let lb = lb("", &[&server]);
    let mut socket = connect(&lb);
    let large: Vec<u8> = (0..12_000_000_u32).map(|n| (n / 7) as u8).collect();
    socket.send(Message::binary(large.clone())).unwrap();
    assert!(socket.read().unwrap().into_data() == large, "12 MB came back changed");
}

#[test]
fn many_messages_keep_their_order() {
    const COUNT: usize = 20_000;
    let server = echo();
    let lb = lb("", &[&server]);
    let mut socket = connect(&lb);
    let mut sender =
        WebSocket::from_raw_socket(socket.get_ref().try_clone().unwrap(), tungstenite::protocol::Role::Client, None);
    let sending = std::thread::spawn(move || {
        for number in 0..COUNT {
            sender.send(Message::text(number.to_string())).unwrap();
        }
    });
    for number in 0..COUNT {
        assert_eq!(socket.read().unwrap(), Message::text(number.to_string()));
    }
    sending.join().unwrap();
}

#[test]
fn a_close_from_either_side_is_shaken_hands_on_and_ends_both_connections() {
    let why = |reason: &'static str| CloseFrame { code: CloseCode::Away, reason: reason.into() };
    let (told, seen) = std::sync::mpsc::channel();
    let server = Server::start(move |peer| {
        let mut socket = tungstenite::accept(peer.stream()).unwrap();
        match socket.read().unwrap() {
            Message::Close(frame) => told.send(frame).unwrap(),
            _ => socket.close(Some(why("server"))).unwrap(),
        }
        // Until the handshake is over; then the server is the one to close (RFC 6455, 7.1.1).
        while socket.read().is_ok() {}
    });
    let lb = lb("", &[&server]);

    let mut socket = connect(&lb);
    socket.close(Some(why("client"))).unwrap();
    assert!(matches!(end_of(&mut socket), Error::ConnectionClosed));
    assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), Some(why("client")));
    drop(socket);

    let mut socket = connect(&lb);
    socket.send(Message::text("close, please")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::Close(Some(why("server"))));
    assert!(matches!(end_of(&mut socket), Error::ConnectionClosed));
    drop(socket);
    let active = "lb_service_current_sessions{service=\"web\"}";
    until("no connection is left", || metric(&lb, active) == 0);
}

#[test]
fn a_silent_tunnel_ends_after_its_time_also_when_half_of_it_is_closed() {
    for half_open in [false, true] {
        let (told, seen) = std::sync::mpsc::channel();
        let ended = Arc::new(Barrier::new(2));
        let server_waits = Arc::clone(&ended);
        let server = Server::start(move |peer| {
            let mut socket = tungstenite::accept(peer.stream()).unwrap();
            socket.send(Message::text("ready")).unwrap();
            // Neither answers nor closes on its own: the end has to come from the load balancer.
            let end = socket.read();
            let after = peer.stream().peek(&mut [0]);
            told.send((end.is_err(), after.map_err(|error| error.kind()))).unwrap();
            server_waits.wait();
        });
        let lb = lb("timeouts = { tunnel = '300ms' }", &[&server]);
        let mut socket = connect(&lb);
        assert_eq!(socket.read().unwrap(), Message::text("ready"));
        let start = Instant::now();
        if half_open {
            socket.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        }
        // A FIN without a close frame: nobody has closed the WebSocket.
        let end = socket.get_mut().read(&mut [0]);
        assert!(matches!(end, Ok(0)), "{end:?}");
        assert!(
            (Duration::from_millis(280)..Duration::from_secs(5)).contains(&start.elapsed()),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(seen.recv_timeout(PATIENCE).unwrap(), (true, Ok(0)));
        ended.wait();
    }
}

#[test]
fn a_tunnel_with_traffic_in_one_direction_only_stays() {
    let server = echo();
    let lb = lb("timeouts = { tunnel = '300ms' }", &[&server]);
    let mut socket = connect(&lb);
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(900) {
        // A pong is answered by nobody.
        socket.send(Message::Pong("beat".into())).unwrap();
        std::thread::park_timeout(Duration::from_millis(50));
    }
    socket.send(Message::text("still here")).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("still here"));
}

#[test]
fn a_refused_upgrade_is_an_answer_and_the_connection_can_try_again() {
    let server = Server::start(|mut peer| {
        for answer in ["403 Forbidden", "200 OK"] {
            peer.head().unwrap();
            peer.say(format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n"));
        }
        tungstenite::accept(peer.stream()).unwrap().send(Message::text("third time")).unwrap();
    });
    let lb = lb("reuse = 'always'", &[&server]);
    let client = Client::to(&lb).0;
    for status in [403, 200] {
        let Err(HandshakeError::Failure(Error::Http(response))) = tungstenite::client(URL, &client) else {
            panic!("an answer of {status} is no WebSocket");
        };
        assert_eq!(response.status(), status);
    }
    let (mut socket, _) = tungstenite::client(URL, &client).unwrap();
    assert_eq!(socket.read().unwrap(), Message::text("third time"));
    assert_eq!(server.connections(), 1);
}

#[test]
fn what_a_client_sends_before_the_101_waits_for_it() {
    let offer = "GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    // What a client that does not wait could want a server to take for a request.
    let early = "GET /inner HTTP/1.1\r\nHost: h\r\n\r\n";
    for switches in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lb = lb_on("", &[listener.local_addr().unwrap()]);
        let mut client = Client::to(&lb);
        client.say(offer).say(early);
        let (mut server, _) = listener.accept().unwrap();
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            server.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let taken = "lb_service_bytes_in_total{service=\"web\"}";
        until("the load balancer has all", || metric(&lb, taken) == (offer.len() + early.len()) as u64);
        server.set_nonblocking(true).unwrap();
        assert_eq!(server.peek(&mut [0]).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
        server.set_nonblocking(false).unwrap();
        let answer = if switches {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        } else {
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        };
        std::io::Write::write_all(&mut server, answer.as_bytes()).unwrap();
        assert!(client.head().starts_with(if switches { "HTTP/1.1 101 " } else { "HTTP/1.1 403 " }));
        if switches {
            let mut bytes = vec![0; early.len()];
            server.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, early.as_bytes());
        } else {
            // Not the tunnel's any more: the next request, read and sent on as one.
            let mut byte = [0];
            assert_eq!(server.read(&mut byte).unwrap(), 0, "the server said that it closes");
            let (mut next, _) = listener.accept().unwrap();
            let mut bytes = vec![0; early.len()];
            next.read_exact(&mut bytes).unwrap();
            let forwarded = early.replace("\r\n\r\n", "\r\nX-Forwarded-For");
            assert_eq!(bytes, forwarded.as_bytes()[..early.len()]);
        }
    }
}

#[test]
fn a_reset_inside_a_tunnel_is_passed_on() {
    let server = Server::start(|peer| {
        let mut socket = tungstenite::accept(peer.stream()).unwrap();
        socket.read().unwrap();
        drop(socket);
        peer.reset();
    });
    let lb = lb("", &[&server]);
    let mut socket = connect(&lb);
    socket.send(Message::text("reset, please")).unwrap();
    let error = socket.get_mut().read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}
