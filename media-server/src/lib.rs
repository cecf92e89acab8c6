//! UDP shards, recorder, finaliser, storage.
