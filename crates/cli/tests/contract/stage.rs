//! What a scenario happens on: a gateway, a network before it that can be cut, and two drivers.

use std::net::{SocketAddr, TcpListener};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::peer::{Language, Peer};
use crate::common::proxy::Proxy;
use crate::common::{Gateway, wait_for};

/// A plant whose counter moves so often that a lost value is a lost number, with an alarm that is always on.
pub(crate) const PLANT: &str = r#"{"tick_ms":20,"tags":{
    "Count":{"wave":"counter"},
    "Set":{"wave":"memory","value":1.5},
    "Hot":{"wave":"ramp","min":60,"max":100,"period_ms":400,"alarm_above":50}
}}"#;

pub(crate) struct Stage {
    pub(crate) language: Language,
    /// Reaches the gateway through the network that can be cut, as `near`.
    pub(crate) peer: Peer,
    /// Reaches it directly, as `near` too: it sees what the other one cannot.
    pub(crate) watcher: Peer,
    pub(crate) proxy: Proxy,
    pub(crate) gateway: Option<Gateway>,
    config: String,
}

impl Stage {
    pub(crate) fn set(language: Language, options: &str) -> Self {
        let config = format!("[gateway]\nlisten = \"127.0.0.1:0\"\n{options}");
        let gateway = Gateway::with(&config, &[]);
        let proxy = Proxy::before(grpc(&gateway));
        let (mut peer, mut watcher) = (Peer::start(language), Peer::start(language));
        peer.done(&connecting(&proxy.address, &key(&gateway)));
        watcher.done(&connecting(&grpc(&gateway), &key(&gateway)));
        Self { language, peer, watcher, proxy, gateway: Some(gateway), config }
    }

    pub(crate) fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().unwrap()
    }

    pub(crate) fn key(&self) -> String {
        key(self.gateway())
    }

    /// A session that both drivers know under this name.
    pub(crate) fn open(&mut self, name: &str) {
        self.open_with(name, PLANT);
    }

    /// The same with another plant.
    pub(crate) fn open_with(&mut self, name: &str, plant: &str) {
        let opened = self.peer.done(&json!({ "do": "open", "gateway": "near", "session": name, "options": plant }));
        let id = &opened["session_id"];
        self.watcher.done(&json!({ "do": "attach", "gateway": "near", "session": name, "session_id": id }));
    }

    /// An item of a client session of its own, advised: `{"server", "handle"}`.
    pub(crate) fn advise(&mut self, session: &str, item: &str) -> Value {
        let server = self.peer.done(&json!({ "do": "register", "session": session, "name": item }))["server"].take();
        let add = json!({ "do": "add_item", "session": session, "server": server, "item": item });
        let handle = self.peer.done(&add)["handle"].take();
        self.peer.done(&json!({ "do": "advise", "session": session, "server": server, "handle": handle }));
        json!({ "server": server, "handle": handle })
    }

    /// A session whose events the driver streams under the same name.
    pub(crate) fn stream(&mut self, name: &str) {
        self.open(name);
        self.peer.done(&json!({ "do": "stream", "session": name, "stream": name }));
    }

    pub(crate) fn take(&mut self, stream: &str, count: usize) -> Vec<Value> {
        let mut taken = self.peer.done(&json!({ "do": "take", "stream": stream, "count": count }));
        serde_json::from_value(taken["items"].take()).unwrap()
    }

    pub(crate) fn close(&mut self, session: &str) {
        let closed = self.peer.done(&json!({ "do": "close", "session": session }));
        assert_eq!(closed["state"], "CLOSED");
    }

    /// Nobody answers behind the network.
    pub(crate) fn aim_nowhere(&self) {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        self.proxy.aim(nobody);
    }

    /// Waits until the session has said this much more.
    pub(crate) fn let_happen(&mut self, session: &str, events: u64) {
        let about = json!({ "do": "about", "session": session });
        let enough = self.watcher.done(&about)["last"].as_u64().unwrap() + events;
        let watcher = &mut self.watcher;
        wait_for("events", || watcher.done(&about)["last"].as_u64().unwrap() >= enough);
    }

    /// The client sessions in the session's worker, by name.
    pub(crate) fn servers(&mut self, session: &str) -> Vec<String> {
        let mut worker = self.watcher.done(&json!({ "do": "worker", "session": session }));
        serde_json::from_value(worker["servers"].take()).unwrap()
    }

    /// Kills the gateway, and does this while there is none; then another one goes on.
    pub(crate) fn kill(&mut self, meanwhile: impl FnOnce(&mut Self)) {
        let (home, _) = self.gateway.take().unwrap().end(Signal::KILL);
        meanwhile(self);
        let gateway = Gateway::over(home, &self.config, &[]);
        self.proxy.aim(grpc(&gateway));
        self.watcher = Peer::start(self.language);
        self.watcher.done(&connecting(&grpc(&gateway), &key(&gateway)));
        self.gateway = Some(gateway);
    }
}

fn connecting(address: &SocketAddr, key: &str) -> Value {
    json!({ "do": "connect", "gateway": "near", "url": format!("http://{address}"), "key": key })
}

/// The administrator's key.
pub(crate) fn key(gateway: &Gateway) -> String {
    std::fs::read_to_string(gateway.data_dir().join("admin.token")).unwrap().trim().to_owned()
}

/// Where the gateway serves clients of sessions.
pub(crate) fn grpc(gateway: &Gateway) -> SocketAddr {
    let endpoint = std::fs::read_to_string(gateway.data_dir().join("gateway.json")).unwrap();
    let endpoint: Value = serde_json::from_str(&endpoint).unwrap();
    let (_, address) = endpoint["grpc"].as_str().unwrap().split_once("://").unwrap();
    address.parse().unwrap()
}
