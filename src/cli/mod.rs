//! The command line: arguments -> one command, a file each.

mod arguments;
mod check;
mod columns;
mod demo;
mod load;
mod manual;
mod misunderstood;
mod moment;
mod pages;
mod progress;
mod replay;
mod report;
mod resend;
mod run;
mod say;
mod schema;
mod setup;
mod status;
mod verdict;

pub use arguments::main;
