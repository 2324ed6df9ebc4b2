//! The contract of the session gateway's clients: one suite, which the Rust client and the Python client both keep to.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod common;

mod contract;

/// The Rust client; the Python client, if `MOORLINE_TEST_PYTHON` names an interpreter that has what it needs.
#[test]
fn a_client_of_the_session_gateway_keeps_to_the_contract() {
    contract::scenarios::run_all(contract::peer::Language::chosen());
}
