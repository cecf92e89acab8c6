//! A private PostgreSQL cluster for a first run and for tests.
