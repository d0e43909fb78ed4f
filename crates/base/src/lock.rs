//! Locks that a panic does not spoil: what panics is the one request that did, and the others go on.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Returns the value in the lock, also after a panic. Work on it is short and leaves it whole at every step, so a panic
/// meanwhile is no reason to refuse all who come later.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_with_the_lock_leaves_it_to_others() {
        let count = Mutex::new(1);
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut held = lock(&count);
            *held = 2;
            panic!("with the lock");
        }));
        assert!(panicked.is_err());
        assert_eq!(*lock(&count), 2);
    }
}
