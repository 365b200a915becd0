//! One piece of the hot path: what is made before a pass, and the pass that is measured.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

/// One piece.
pub struct Piece {
    /// Its name; after a comma, whose.
    pub name: String,
    /// Operations in one pass.
    pub operations: u64,
    prepare: Box<dyn FnMut() -> Result<()>>,
    pass: Box<dyn FnMut()>,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Piece {
    pub(super) fn new(
        name: impl Into<String>,
        operations: u64,
        pass: impl FnMut() + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            operations: operations.max(1),
            prepare: Box::new(|| Ok(())),
            pass: Box::new(pass),
        }
    }

    /// A piece whose every pass begins with something new, which is made beforehand: what is set up once a day
    /// is not what a message costs.
    pub(super) fn prepared<T: 'static>(
        name: impl Into<String>,
        operations: u64,
        mut make: impl FnMut() -> Result<T> + 'static,
        mut pass: impl FnMut(&mut T) + 'static,
    ) -> Self {
        let made = Rc::new(RefCell::new(None));
        let to_make = Rc::clone(&made);
        let taken = move || match made.borrow_mut().as_mut() {
            Some(made) => pass(made),
            None => unreachable!("`prepare` comes first"),
        };
        Self {
            prepare: Box::new(move || {
                // The last one goes first: it may hold the memory of a whole day.
                to_make.replace(None);
                let new = make()?;
                to_make.replace(Some(new));
                Ok(())
            }),
            ..Self::new(name, operations, taken)
        }
    }

    /// Makes what the next pass needs.
    ///
    /// # Errors
    /// The host has not the memory.
    pub fn prepare(&mut self) -> Result<()> {
        (self.prepare)()
    }

    /// One pass, after [`Piece::prepare`]. Callgrind counts what happens inside this function.
    #[inline(never)]
    pub fn run_measured_pass(&mut self) {
        (self.pass)();
    }
}
