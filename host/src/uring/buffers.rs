//! Receive buffers that the kernel chooses from (`IORING_REGISTER_PBUF_RING`, Linux 5.19).
//!
//! Idle connections hold no buffer: one is taken when bytes arrive and given back when they have been
//! looked at. A buffer belongs either to the kernel (it is provided) or to a [`Taken`].

use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

/// Buffers of a ring; a power of two.
const COUNT: u16 = 256;
/// Bytes of one buffer.
const SIZE: usize = 16 * 1024;
/// The group of all receive requests.
pub(super) const GROUP: u16 = 0;

/// The buffers and the ring through which they are provided, in one anonymous mapping.
#[derive(Debug)]
pub(super) struct Buffers {
    base: NonNull<u8>,
    tail: u16,
}

/// A buffer that holds bytes received.
#[derive(Debug)]
pub(super) struct Taken {
    number: u16,
    length: usize,
}

// SAFETY: the mapping belongs to this value alone and is not bound to the thread that made it.
unsafe impl Send for Buffers {}

impl Buffers {
    const RING: usize = COUNT as usize * size_of::<BufRingEntry>();
    const LENGTH: usize = Self::RING + COUNT as usize * SIZE;

    /// Maps the buffers and provides them all.
    ///
    /// # Errors
    /// The kernel's reason: `EINVAL` before Linux 5.19, `ENOMEM`.
    pub(super) fn register(ring: &IoUring) -> io::Result<Self> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let access = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a fresh anonymous mapping touches no memory that anybody has.
        let base = unsafe { libc::mmap(std::ptr::null_mut(), Self::LENGTH, access, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut buffers = Self { base, tail: 0 };
        // SAFETY: the ring of entries is page-aligned, long enough and stays mapped: `Ring` unmaps it
        // only when nothing can receive any more.
        unsafe { ring.submitter().register_buf_ring_with_flags(base.as_ptr() as u64, COUNT, GROUP, 0) }?;
        for number in 0..COUNT {
            buffers.provide(number);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The buffer that a completion names, with so many bytes in it.
    pub(super) fn take(&self, number: u16, length: usize) -> Taken {
        debug_assert!(number < COUNT && length <= SIZE, "the kernel names buffers that were provided");
        Taken { number: number % COUNT, length: length.min(SIZE) }
    }

    /// What was received.
    pub(super) fn bytes(&self, taken: &Taken) -> &[u8] {
        let at = Self::RING + usize::from(taken.number) * SIZE;
        // SAFETY: the range lies inside the mapping, anonymous memory is initialised, and the kernel
        // does not write to a buffer that has not been provided again, which consumes `taken`.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(at), taken.length) }
    }

    /// Provides a buffer again.
    pub(super) fn give_back(&mut self, taken: Taken) {
        self.provide(taken.number);
        self.publish();
    }

    fn provide(&mut self, number: u16) {
        let address = self.base.as_ptr() as u64 + (Self::RING + usize::from(number) * SIZE) as u64;
        let at = usize::from(self.tail % COUNT);
        // SAFETY: the entry lies inside the mapped ring, and the kernel reads it only after the tail
        // has been published beyond it. The tail shares the first entry's reserved field, which the
        // setters do not touch.
        let entry = unsafe { &mut *self.base.as_ptr().cast::<BufRingEntry>().add(at) };
        entry.set_addr(address);
        entry.set_len(SIZE as u32);
        entry.set_bid(number);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the tail is an aligned u16 inside the mapped ring that both sides access atomically.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.base.as_ptr().cast()).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's own, and its owner has seen the end of every receive.
        unsafe { libc::munmap(self.base.as_ptr().cast(), Self::LENGTH) };
    }
}
