//! What fails in the middle: a database that takes no writes, a commit without an answer, somebody who goes away while his
//! wish is carried out, a step that cannot be stored.

#![cfg(test)]

#[path = "failing/commits.rs"]
mod commits;
#[path = "failing/cut.rs"]
mod cut;
#[path = "failing/grants.rs"]
mod grants;
mod scene;
#[path = "failing/steps.rs"]
mod steps;
#[path = "failing/writes.rs"]
mod writes;
