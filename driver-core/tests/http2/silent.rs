//! A server that accepts and says nothing.

use std::net::TcpListener;
use std::time::Duration;

use crate::client::first_word;

#[test]
fn a_server_that_sends_no_settings_gets_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(first_word(port, Duration::from_millis(100)), Ok(0));
}
