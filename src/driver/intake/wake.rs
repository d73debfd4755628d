//! What is called when a line has matched for the first time.

/// Wakes whoever claims the state directory.
pub struct Wake(Box<dyn Fn() + Send + Sync>);

impl Wake {
    /// A call that must not wait.
    pub fn new(call: impl Fn() + Send + Sync + 'static) -> Wake {
        Wake(Box::new(call))
    }

    /// Wakes.
    pub fn wake(&self) {
        (self.0)();
    }
}
