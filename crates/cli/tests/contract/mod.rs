//! A scenario asks a driver for things, in lines of JSON; each client has a driver that does them with it, and says what
//! came of them in the same words. Everything else is real: the gateway, its workers, a network that is cut, `kill -9`.

mod driver;

pub(crate) mod peer;

pub(crate) mod scenarios;

mod stage;
