//! Who owns the state directory, and the owner's life: configuration, claim, recovery, checkpoints, status, requests.

pub mod action;
mod barred;
mod configuring;
pub mod event;
mod fault;
pub mod figures;
pub mod guest;
mod hinting;
pub mod keeper;
pub mod lifecycle;
mod message;
mod opening;
pub mod pace;
mod parent;
mod perform;
pub mod processes;
pub mod report;
pub mod requests;
pub mod schedule;
pub mod status;
pub mod thread;
