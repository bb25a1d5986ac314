//! Cores and pinning.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores this thread may run on, in ascending order; never empty.
pub fn allowed_cores() -> Vec<usize> {
    match sched_getaffinity(None) {
        Ok(set) => (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect(),
        // Without the system call (a sandbox), one core is the safe assumption.
        Err(_) => vec![0],
    }
}

/// Lets the calling thread, and what it starts from now on, run on these cores only.
///
/// # Errors
/// The kernel's reason: `EINVAL` for a core that does not exist or is not allowed, `EPERM`.
pub fn pin_current_thread(cores: &[usize]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for &core in cores {
        if core >= CpuSet::MAX_CPU {
            return Err(io::Error::from(io::ErrorKind::InvalidInput));
        }
        set.set(core);
    }
    Ok(sched_setaffinity(None, &set)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_pins_itself_to_one_allowed_core_and_not_to_a_missing_one() {
        std::thread::spawn(|| {
            let core = allowed_cores()[0];
            pin_current_thread(&[core]).unwrap();
            assert_eq!(allowed_cores(), [core]);
            assert!(pin_current_thread(&[CpuSet::MAX_CPU]).is_err());
        })
        .join()
        .unwrap();
    }
}
