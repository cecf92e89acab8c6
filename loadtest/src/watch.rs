//! Who is told how far a run is, so that something can be done to the server while packets count.

use std::fmt;
use std::sync::Arc;

/// A turn in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// A window has begun: every packet that leaves from now on counts.
    Begun,
    /// Its time is over.
    Over,
}

/// See the top of this file; tells nobody by default.
#[derive(Clone, Default)]
pub struct Watch(Option<Arc<dyn Fn(Moment) + Send + Sync>>);

impl Watch {
    /// Tells `who`, who must not wait for anything.
    pub fn telling(who: impl Fn(Moment) + Send + Sync + 'static) -> Watch {
        Watch(Some(Arc::new(who)))
    }

    pub(crate) fn tell(&self, moment: Moment) {
        if let Some(who) = &self.0 {
            who(moment);
        }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watch").field(&self.0.is_some()).finish()
    }
}
