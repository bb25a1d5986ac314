//! Socket addresses as the kernel reads them, kept until a request has been submitted.
//!
//! The kernel copies an address while it takes the request out of the submission queue
//! (`IORING_FEAT_SUBMIT_STABLE`). So there are as many places as requests fit into that queue, used in
//! turn: a place comes up again only after its request has left.

use std::net::SocketAddr;

/// Length of `sockaddr_in6`, the longer one.
const LENGTH: usize = size_of::<libc::sockaddr_in6>();

/// An address in the kernel's form.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
struct Place([u8; LENGTH]);

/// The places.
#[derive(Debug)]
pub(super) struct Addresses {
    places: Box<[Place]>,
    next: usize,
}

impl Addresses {
    /// Places for a submission queue of this length.
    pub(super) fn new(queue: usize) -> Self {
        Self { places: vec![Place([0; LENGTH]); queue].into(), next: 0 }
    }

    /// Where the address stands, and its length; valid until as many others have been put down as the
    /// submission queue is long.
    pub(super) fn put(&mut self, address: SocketAddr) -> (*const libc::sockaddr, libc::socklen_t) {
        let at = self.next;
        self.next = (at + 1) % self.places.len();
        let place = &mut self.places[at];
        let length = write(address, &mut place.0);
        (place.0.as_ptr().cast(), length)
    }
}

/// Writes `sockaddr_in` or `sockaddr_in6` (ip(7), ipv6(7)) and returns its length.
fn write(address: SocketAddr, bytes: &mut [u8; LENGTH]) -> libc::socklen_t {
    bytes.fill(0);
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    bytes[..2].copy_from_slice(&(family as libc::sa_family_t).to_ne_bytes());
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            size_of::<libc::sockaddr_in>() as libc::socklen_t
        }
        SocketAddr::V6(v6) => {
            bytes[4..8].copy_from_slice(&v6.flowinfo().to_be_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            bytes[24..28].copy_from_slice(&v6.scope_id().to_ne_bytes());
            LENGTH as libc::socklen_t
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_socket_library_writes_them() {
        for text in ["127.0.2.9:8080", "[2001:2::7]:443", "[fe80::1%3]:80"] {
            let address: SocketAddr = text.parse().unwrap();
            let theirs = socket2::SockAddr::from(address);
            let mut ours = [0; LENGTH];
            let length = write(address, &mut ours);
            assert_eq!(length, theirs.len(), "{text}");
            // SAFETY: a `SockAddr` holds `len` initialised bytes.
            let theirs = unsafe { std::slice::from_raw_parts(theirs.as_ptr().cast::<u8>(), length as usize) };
            assert_eq!(&ours[..length as usize], theirs, "{text}");
        }
    }
}
