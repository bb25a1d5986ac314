//! Buffers that are held only while there is something in them.
//!
//! A connection waits for readiness first and takes a buffer then, so ten thousand idle connections
//! hold none. Last in, first out: the buffer used last is the one that is still in the cache.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Size of a buffer in bytes: a whole head of the largest size that is accepted fits.
pub(crate) const BUFFER_SIZE: usize = 16 * 1024;

/// Most buffers kept for the next taker: 4 MiB per worker.
const KEPT_MAX: usize = 256;

/// One worker's stock of buffers. How many are out is bounded by the connection limits.
#[derive(Debug, Default)]
pub(crate) struct BufferStock(RefCell<Vec<Box<[u8]>>>);

impl BufferStock {
    /// A buffer of [`BUFFER_SIZE`] bytes with arbitrary old content; it returns to the stock when dropped.
    pub(crate) fn take(self: &Rc<Self>) -> Buffer {
        let bytes = self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_SIZE].into_boxed_slice());
        Buffer { bytes, stock: Rc::clone(self) }
    }

    fn put(&self, bytes: Box<[u8]>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_MAX {
            kept.push(bytes);
        }
    }
}

/// A buffer on loan from a [`BufferStock`].
#[derive(Debug)]
pub(crate) struct Buffer {
    bytes: Box<[u8]>,
    stock: Rc<BufferStock>,
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.stock.put(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_returned_last_is_taken_first_and_the_stock_is_bounded() {
        let stock = Rc::new(BufferStock::default());
        let mut buffer = stock.take();
        buffer[0] = 42;
        drop(buffer);
        assert_eq!(stock.take()[0], 42);
        let many: Vec<_> = (0..KEPT_MAX + 10).map(|_| stock.take()).collect();
        assert!(many.iter().all(|buffer| buffer.len() == BUFFER_SIZE));
        drop(many);
        assert_eq!(stock.0.borrow().len(), KEPT_MAX);
    }
}
