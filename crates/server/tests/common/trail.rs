//! The audit trail as an administrator reads it.

use serde_json::Value;

use super::{Client, PATIENCE};

/// Every entry that fits, page by page.
pub(crate) async fn trail(admin: &mut Client, query: Value) -> Vec<Value> {
    let (mut query, mut entries) = (query, Vec::new());
    loop {
        admin.say("msg_audit", "x-vendor.moorline.audit", query.clone()).await;
        let page = admin.recv_type("x-vendor.moorline.audit_page").await["payload"].take();
        entries.extend(page["entries"].as_array().unwrap().iter().cloned());
        if page["more"] != true {
            return entries;
        }
        query["cursor"] = page["next_cursor"].clone();
    }
}

/// The entries that fit, once there are as many: they are written a moment after what they tell of.
pub(crate) async fn wait_for(admin: &mut Client, query: Value, many: usize) -> Vec<Value> {
    let found = async {
        loop {
            let entries = trail(admin, query.clone()).await;
            if entries.len() >= many {
                return entries;
            }
        }
    };
    tokio::time::timeout(PATIENCE, found).await.expect("it is written down")
}
