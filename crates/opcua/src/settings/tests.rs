use super::*;

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("opcua.toml");
    std::fs::write(&path, text).unwrap();
    (home, path)
}

fn settings(text: &str) -> Result<Settings, SettingsError> {
    let (_home, path) = file(text);
    Settings::load(&path)
}

const PLAIN: &str =
    "[endpoints.line1]\nurl = \"opc.tcp://plc:4840\"\nsecurity_policy = \"None\"\nsecurity_mode = \"None\"\n";

#[test]
fn an_endpoint_is_secured_unless_it_says_otherwise() {
    let found = settings("[endpoints.a]\nurl = \"opc.tcp://plc:4840\"\n").unwrap();
    let endpoint = &found.endpoints["a"];
    assert_eq!(endpoint.policy(), Some(SecurityPolicy::Basic256Sha256));
    assert_eq!(endpoint.security_mode, SecurityMode::SignAndEncrypt);
    assert!(!endpoint.trust_unknown_certificates && !endpoint.insecure_passwords);
    assert!(settings(PLAIN).is_ok());
}

#[test]
fn what_cannot_be_is_refused_by_its_name_and_no_secret_is_repeated() {
    for (text, word) in [
        ("", "endpoints"),
        ("[endpoints]\n", "endpoints.NAME"),
        ("[endpoints.a]\nurl = \"http://plc\"\n", "opc.tcp"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\npassword = \"hunter2\"\n", "password"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\nuser = \"ada\"\n", "password_file"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\nuser = \"ada\"\npassword_env = \"HOME\"\n", "OPCUA_"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\nsecurity_policy = \"None\"\n", "both None"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\nsecurity_policy = \"Basic128Rsa15\"\n", "Basic256Sha256"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\npublishing_interval_ms = 1\n", "publishing_interval_ms"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\nqueue_size = 0\n", "queue_size"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\nlifetime_count = 20\n", "lifetime_count"),
        ("[endpoints.a]\nurl = \"opc.tcp://plc\"\nrequest_timeout_ms = 0\n", "request_timeout_ms"),
    ] {
        let error = settings(text).unwrap_err().to_string();
        assert!(error.contains(word) && !error.contains("hunter2"), "{text:?}: {error}");
    }
}

#[test]
fn a_client_chooses_an_endpoint_and_rates_and_nothing_else() {
    let choose = |settings: &Settings, options: &str| {
        settings.choose(Some(&Json::parse(options).unwrap())).map(|(name, endpoint)| (name.to_owned(), endpoint))
    };
    let one = settings(PLAIN).unwrap();
    let (name, endpoint) = choose(&one, "{\"queue_size\":7}").unwrap();
    assert_eq!((name.as_str(), endpoint.rates.queue_size), ("line1", 7));
    let two = settings(&format!("{PLAIN}{}", PLAIN.replace("line1", "line2"))).unwrap();
    assert_eq!(choose(&two, "{\"endpoint\":\"line2\"}").unwrap().0, "line2");
    for (options, word) in [
        ("{}", "line1, line2"),
        ("{\"endpoint\":\"line3\"}", "line1, line2"),
        ("{\"endpoint\":\"line1\",\"url\":\"opc.tcp://elsewhere\"}", "url"),
        ("{\"endpoint\":\"line1\",\"publishing_interval_ms\":0}", "publishing_interval_ms"),
    ] {
        let error = choose(&two, options).unwrap_err().to_string();
        assert!(error.contains(word), "{options}: {error}");
    }
}

#[test]
fn a_password_is_read_from_a_file_or_a_variable_and_never_shown() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("secret"), "hunter2\n").unwrap();
    let path = home.path().join("opcua.toml");
    let user = |with: &str| {
        std::fs::write(&path, format!("[endpoints.a]\nurl = \"opc.tcp://plc\"\nuser = \"ada\"\n{with}\n")).unwrap();
        Settings::load(&path).unwrap().endpoints["a"].clone()
    };
    let environment = BTreeMap::from([("OPCUA_PASSWORD".to_owned(), "hunter2".to_owned())]);
    for with in ["password_file = \"secret\"", "password_env = \"OPCUA_PASSWORD\""] {
        let identity = user(with).identity(&environment).unwrap();
        assert!(!format!("{identity:?}").contains("hunter2"));
        assert!(matches!(identity, Identity::Password { password, .. } if password == "hunter2"));
    }
    for (with, word) in [("password_file = \"nowhere\"", "nowhere"), ("password_env = \"OPCUA_OTHER\"", "OPCUA_OTHER")]
    {
        assert!(user(with).identity(&environment).unwrap_err().to_string().contains(word));
    }
}

#[test]
fn every_file_that_the_page_shows_is_taken() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/opcua.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<_> =
        page.split("```toml opcua.toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(blocks.len() > 1, "the page shows no files");
    for block in blocks {
        let taken = settings(block);
        assert!(taken.is_ok(), "{block}: {taken:?}");
    }
}
