//! The gateway's process: its doors, who may come in, and how it is configured, started and stopped.
//!
//! | module | what it decides |
//! | --- | --- |
//! | [`config`] | what the operator wants, and everything that is wrong with it at once |
//! | [`data_dir`] | where things are kept, and that nobody else keeps them there |
//! | [`serve`] | the life of the process |
//! | [`http`], [`door`] | how bytes become frames, and which peers are turned away before they cost anything |
//! | [`enrolments`] | which workers of other machines are let in |
//! | [`outbound`] | which requests the gateway itself makes, to whom |
//! | [`connection`] | one client's connection |
//! | [`keys`], [`jwt`], [`tls`], [`logging`] | who it is, who we are, and what is told about it |
//!
//! Wire and domain meet in the private module `front` and nowhere else.

pub mod config;
pub mod connection;
pub mod data_dir;
pub mod door;
pub mod enrolments;
pub mod grpc;
pub mod http;
pub mod jwt;
pub mod key_store;
pub mod keys;
pub mod logging;
pub mod otlp;
pub mod outbound;
pub mod serve;
pub mod tls;

mod accept;
mod admission;
mod certified;
mod front;
mod provision;
mod worker_listener;

pub use provision::{ProvisionError, provisioning};
pub use serve::{Doors, Reload, Server, StartError};
