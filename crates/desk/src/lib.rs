//! The one writer of business state.
