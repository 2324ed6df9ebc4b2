use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::ffi::OsStringExt;
use std::time::Duration;

use super::*;
use crate::config::{BuiltinAgent, Durability, Entry, Files, Origin};

/// A disk on which every path is a program.
#[derive(Debug)]
struct Programs;

impl Files for Programs {
    fn entry(&self, _path: &std::path::Path) -> Entry {
        Entry::Executable
    }
}

/// What is given in a test; the file is `/etc/moorline.toml`.
fn sources(flags: &[(&str, &str)], env: &[(&str, &str)], file: Option<&str>) -> Sources<'static> {
    let owned = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let mut env: BTreeMap<String, OsString> =
        owned(env).into_iter().map(|(name, value)| (name, value.into())).collect();
    env.entry("HOME".to_owned()).or_insert_with(|| "/users/ada".into());
    let file = file.map_or(ConfigFile::Absent, |text| ConfigFile::Read {
        path: "/etc/moorline.toml".into(),
        text: text.to_owned(),
    });
    let program = Some("/usr/bin/moorline".into());
    Sources { flags: owned(flags), env, file, cwd: "/srv/dir".into(), program, files: &Programs }
}

fn resolve(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> Result<(Config, Resolved), Mistakes> {
    Config::resolve(sources(flags, env, Some(file)))
}

/// The only mistake, as it is shown.
fn only_mistake(flags: &[(&str, &str)], env: &[(&str, &str)], file: &str) -> String {
    let mistakes = resolve(flags, env, file).unwrap_err();
    assert_eq!(mistakes.iter().count(), 1, "{mistakes}");
    mistakes.to_string()
}

#[test]
fn a_mistake_says_where_it_is_what_it_is_and_what_to_do() {
    type Pairs = &'static [(&'static str, &'static str)];
    let cases: [(Pairs, Pairs, &str, [&str; 3]); 17] = [
        (
            &[("listen", "localhost")],
            &[],
            "",
            ["flag --listen", "\"localhost\" is no value for listen", "127.0.0.1:8080"],
        ),
        (&[("lisen", "x")], &[], "", ["flag --lisen", "unknown option", "did you mean \"listen\"?"]),
        (&[], &[("MOORLINE_LISTEN", "")], "", ["environment MOORLINE_LISTEN", "\"\" is no value", "such as"]),
        (
            &[],
            &[("MOORLINE_LISTN", "x")],
            "",
            ["environment MOORLINE_LISTN", "unknown", "did you mean \"MOORLINE_LISTEN\""],
        ),
        (&[], &[("MOORLINE_BANANA_SPLIT", "x")], "", ["BANANA", "unknown", "moorline config show"]),
        (&[], &[], "listen = 7707", ["/etc/moorline.toml:1:10", "7707 is no value for listen", "such as"]),
        (
            &[],
            &[],
            "\n  lisen = \"x\"",
            ["/etc/moorline.toml:2:3", "unknown option \"lisen\"", "did you mean \"listen\""],
        ),
        (&[], &[], "[tls]\ncrt = \"x\"", ["toml:2:1", "unknown option \"tls.crt\"", "did you mean \"tls.cert\""]),
        (
            &[],
            &[],
            "heartbeat_interval = \"1s\"",
            ["toml:1:1", "unknown", "did you mean \"session.heartbeat_interval\""],
        ),
        (&[], &[], "tls = true", ["toml:1:1", "\"tls\" is a table of options, not a boolean", "[tls] heading"]),
        (&[], &[], "[listen]\nport = 1", ["moorline.toml:1:1", "a table is no value for listen", "such as"]),
        (
            &[],
            &[],
            "[journal]\ndurability = \"powr\"",
            ["toml:2:14", "one of process, power", "did you mean \"power\""],
        ),
        (&[], &[], "session.heartbeat_interval = \"11m\"", ["toml:1:30", "from 1s to 10m", "such as 15s"]),
        (&[], &[], "limits.max_connections = 0", ["toml:1:26", "from 1 to 1000000", "such as 500"]),
        (&[], &[], "a = 1\na = 2", ["moorline.toml:2:1", "not TOML", "remedy"]),
        (&[], &[], "listen = 127.0.0.1:7707", ["moorline.toml:1:", "not TOML", "double quotes"]),
        (&[], &[], "log.filter = \"moorline=loud\"", ["toml:1:14", "log.filter", "such as info"]),
    ];
    for (flags, env, file, expected) in cases {
        let mistake = only_mistake(flags, env, file);
        for part in expected {
            assert!(mistake.contains(part), "{part:?} is not in: {mistake}");
        }
    }
}

#[test]
fn all_mistakes_are_reported_at_once_also_those_that_are_overridden() {
    let file = "lisen = 1\nlisten = \"0.0.0.0:1\"\n[limits]\nmax_connections = -1\n[tls]\nkey = 3\n[[agents]]\n";
    let env = [("MOORLINE_LIMITS_MAX_CONNECTIONS", "many"), ("MOORLINE_NOPE", "x")];
    let flags = [("limits-max-connections", "7"), ("nope", "x"), ("tls-key", "key.pem"), ("log-format", "xml")];
    let mistakes = resolve(&flags, &env, file).unwrap_err();
    let shown = mistakes.to_string();
    for place in [
        "toml:1:1",
        "toml:4:",
        "toml:6:",
        "toml:7:1",
        "MAX_CONNECTIONS",
        "MOORLINE_NOPE",
        "--nope",
        "--log-format",
        "--tls-key",
    ] {
        assert!(shown.contains(place), "{place} is not in: {shown}");
    }
    assert_eq!(mistakes.iter().count(), 11, "{shown}");
    assert!(shown.starts_with("11 mistakes in the configuration\n"), "{shown}");
}

#[test]
fn a_file_that_cannot_be_used_does_not_hide_other_mistakes() {
    let mut sources = sources(&[("listen", "x")], &[], None);
    let origin = Origin::WholeFile("/etc/moorline.toml".into());
    sources.file = ConfigFile::Unusable(Mistake { origin, problem: Problem::FileMissing });
    let shown = Config::resolve(sources).unwrap_err().to_string();
    assert!(shown.contains("no such file") && shown.contains("--listen"), "{shown}");
}

#[test]
fn plaintext_beyond_loopback_must_be_asked_for() {
    for listen in ["0.0.0.0:7707", "192.168.0.1:1", "[::]:7707", "[::ffff:10.0.0.1]:1"] {
        let mistake = only_mistake(&[("listen", listen)], &[], "");
        for remedy in ["--tls-cert and --tls-key", "--insecure-plaintext", "flag --listen"] {
            assert!(mistake.contains(remedy), "{mistake}");
        }
        let asked = [("listen", listen), ("insecure-plaintext", "true")];
        assert_eq!(resolve(&asked, &[], "").unwrap().0.transport, Transport::Plaintext);
        let tls = resolve(&[("listen", listen), ("tls-cert", "c"), ("tls-key", "/k")], &[], "").unwrap().0.transport;
        assert_eq!(tls, Transport::Tls { cert: "/srv/dir/c".into(), key: "/k".into() });
    }
    for listen in ["127.0.0.1:0", "127.8.8.8:1", "[::1]:7707", "[::ffff:127.0.0.1]:1"] {
        assert!(resolve(&[("listen", listen)], &[], "").is_ok(), "{listen}");
    }
}

#[test]
fn half_of_tls_is_a_mistake_whoever_gave_it() {
    let cert = only_mistake(&[("tls-cert", "c"), ("listen", "0.0.0.0:1")], &[], "");
    assert!(cert.contains("tls.cert is given without tls.key") && cert.contains("give --tls-key"), "{cert}");
    let key = only_mistake(&[], &[("MOORLINE_TLS_KEY", "k")], "");
    assert!(key.contains("environment MOORLINE_TLS_KEY") && key.contains("give --tls-cert"), "{key}");
}

#[test]
fn certificates_of_clients_need_tls_and_say_whom_they_stand_for() {
    let tls = [("tls-cert", "c"), ("tls-key", "k")];
    let (authority, names) = (("tls-client-ca", "ca"), ("tls-client-principals", "CN:ci=build"));
    let grants = ("tls-client-grants", r#"{"nobody":{"scopes":["submit"]}}"#);
    for (flags, expected) in [
        (vec![authority, names], "tls.client_ca is given without tls.cert"),
        (vec![tls[0], tls[1], authority], "tls.client_ca is given without tls.client_principals"),
        (vec![tls[0], tls[1], names], "tls.client_principals is given without tls.client_ca"),
        (vec![grants], "tls.client_grants is given without tls.client_principals"),
        (vec![tls[0], tls[1], authority, names, grants], "tls.client_grants is given without tls.client_principals"),
    ] {
        let mistake = only_mistake(&flags, &[], "");
        assert!(mistake.contains(expected), "{mistake}");
    }
    let config = resolve(&[tls[0], tls[1], authority, names], &[], "").unwrap().0;
    assert_eq!(config.client_certs.map(|certs| certs.auth), Some(crate::config::ClientAuth::Optional));
}

#[test]
fn what_a_certificates_principal_may_do_is_a_table_of_the_file() {
    let flags = [("tls-cert", "c"), ("tls-key", "k"), ("tls-client-ca", "ca")];
    let file = r#"
[tls]
client_principals = ["CN:ci=build", "CN:dev=ada"]

[tls.client_grants.build]
scopes = ["submit"]
tags = ["team/a"]
constraints = { agents = ["census*"], max_runtime_sec = 60 }

[tls.client_grants.build.quotas]
jobs = 5
"#;
    let certs = resolve(&flags, &[], file).unwrap().0.client_certs.unwrap();
    let granted = |name: &str| serde_json::to_value(&certs.principals[&name.parse().unwrap()].grants).unwrap();
    assert_eq!(
        granted("CN:ci"),
        serde_json::json!({
            "scopes": ["submit"], "tags": ["team/a"], "quotas": { "jobs": 5 },
            "constraints": { "agents": ["census*"], "max_runtime_sec": 60 },
        })
    );
    assert_eq!(granted("CN:dev"), serde_json::json!({ "scopes": ["submit", "observe", "cancel"] }));
    for wrong in ["scopes = [\"all\"]", "scope = [\"submit\"]", "scopes = [1.5]", "scopes = \"submit\""] {
        let file = format!("[tls]\nclient_principals = [\"CN:ci=build\"]\n[tls.client_grants.build]\n{wrong}\n");
        let mistake = only_mistake(&flags, &[], &file);
        assert!(mistake.contains("no value for tls.client_grants"), "{mistake}");
    }
}

#[test]
fn workers_of_other_machines_attach_with_tls_and_to_a_journal_that_outlives_the_process() {
    let everywhere = ("workers-listen", "0.0.0.0:7708");
    let memory = ("journal-store", "memory");
    for (flags, part) in [
        (&[everywhere][..], "--workers-tls-cert and --workers-tls-key"),
        (&[everywhere, ("workers-tls-cert", "c")], "workers.tls_cert is given without workers.tls_key"),
        (&[("workers-tls-key", "k")], "give --workers-tls-cert"),
        (&[("workers-listen", "127.0.0.1:7708"), memory], "keep the journal in sqlite"),
    ] {
        let mistake = only_mistake(flags, &[], "");
        assert!(mistake.contains(part), "{part:?} is not in: {mistake}");
    }
    let external = |flags: &[(&str, &str)]| resolve(flags, &[], "").unwrap().0.workers.external;
    let tls = |cert: &str, key: &str| Transport::Tls { cert: cert.into(), key: key.into() };
    let transport = |flags: &[(&str, &str)]| external(flags).unwrap().transport;
    let clients = [everywhere, ("tls-cert", "/c"), ("tls-key", "/k")];
    let own = [("workers-tls-cert", "/wc"), ("workers-tls-key", "/wk")];
    assert_eq!(external(&[]), None);
    assert_eq!(external(&own), None);
    assert_eq!(transport(&clients), tls("/c", "/k"));
    assert_eq!(transport(&[&clients[..], &own].concat()), tls("/wc", "/wk"));
    assert_eq!(transport(&[("workers-listen", "127.0.0.1:7708")]), Transport::Plaintext);
    assert_eq!(transport(&[everywhere, ("insecure-plaintext", "true")]), Transport::Plaintext);
}

#[test]
fn the_data_directory_needs_a_home_or_a_name() {
    let without_home = |env: &[(&str, &str)], flags: &[(&str, &str)]| {
        let mut sources = sources(flags, env, None);
        sources.env.remove("HOME");
        Config::resolve(sources).map(|(config, _)| config.data_dir)
    };
    for env in [&[][..], &[("XDG_DATA_HOME", "relative")], &[("XDG_DATA_HOME", "")]] {
        let shown = without_home(env, &[]).unwrap_err().to_string();
        for part in ["data_dir is not given", "HOME or XDG_DATA_HOME", "--data-dir or MOORLINE_DATA_DIR"] {
            assert!(shown.contains(part), "{shown}");
        }
    }
    assert_eq!(without_home(&[("XDG_DATA_HOME", "/x")], &[]).unwrap(), PathBuf::from("/x/moorline"));
    assert_eq!(without_home(&[], &[("data-dir", "here")]).unwrap(), PathBuf::from("/srv/dir/here"));
    let default = Config::resolve(sources(&[], &[], None)).unwrap().0.data_dir;
    assert_eq!(default, PathBuf::from("/users/ada/.local/share/moorline"));
}

#[test]
fn a_value_that_is_not_text_is_a_mistake_only_where_it_is_ours() {
    let mut sources = sources(&[], &[], None);
    sources.env.insert("OTHER".to_owned(), OsString::from_vec(vec![0xff]));
    sources.env.insert("MOORLINE_LISTEN".to_owned(), OsString::from_vec(vec![0xff]));
    let mistakes = Config::resolve(sources).unwrap_err();
    assert_eq!(mistakes.iter().count(), 1, "{mistakes}");
    assert!(mistakes.to_string().contains("UTF-8"), "{mistakes}");
}

#[test]
fn variables_of_clients_and_workers_are_left_alone() {
    let env = ["MOORLINE_URL", "MOORLINE_TOKEN", "MOORLINE_CONFIG", "MOORLINE_WORKER_SCRATCH"].map(|name| (name, "x"));
    assert!(resolve(&[], &env, "").is_ok());
}

#[test]
fn tokens_of_others_are_trusted_with_keys_of_one_place_an_issuer_and_an_audience() {
    let (keys, url) = (("auth-jwt-keys", "/keys.pem"), ("auth-jwt-jwks-url", "https://issuer/keys"));
    let (issuer, audience) = (("auth-jwt-issuer", "https://issuer"), ("auth-jwt-audience", "moorline"));
    let authority = ("auth-jwt-jwks-ca", "/ca.pem");
    for (flags, expected) in [
        (vec![keys, audience], "auth.jwt.keys is given without auth.jwt.issuer"),
        (vec![url, issuer], "auth.jwt.jwks_url is given without auth.jwt.audience"),
        (vec![issuer], "auth.jwt.issuer is given without auth.jwt.jwks_url"),
        (vec![audience], "auth.jwt.audience is given without auth.jwt.jwks_url"),
        (vec![authority], "auth.jwt.jwks_ca is given without auth.jwt.jwks_url"),
        (vec![keys, authority, issuer, audience], "auth.jwt.jwks_ca is given without auth.jwt.jwks_url"),
        (vec![keys, url, issuer, audience], "both auth.jwt.keys and auth.jwt.jwks_url are given"),
        (vec![("auth-jwt-jwks-url", "http://issuer/keys"), issuer, audience], "an https:// address"),
        (vec![keys, issuer, audience, ("auth-jwt-algorithms", "none")], "no value for auth.jwt.algorithms"),
        (vec![keys, issuer, audience, ("auth-jwt-algorithms", "ES256,HS256")], "no value for auth.jwt.algorithms"),
        (vec![keys, issuer, audience, ("auth-jwt-principal-prefix", "")], "no value for auth.jwt.principal_prefix"),
    ] {
        let mistake = only_mistake(&flags, &[], "");
        assert!(mistake.contains(expected), "{mistake}");
    }
    let (config, _) = resolve(&[keys, issuer, audience, ("auth-jwt-scope-prefix", "none")], &[], "").unwrap();
    let jwt = config.jwt.unwrap();
    assert_eq!((jwt.principal_prefix.as_str(), jwt.scope_prefix.as_str(), jwt.algorithms.len()), ("jwt:", "", 9));
    assert!(resolve(&[], &[], "").unwrap().0.jwt.is_none());
}

#[test]
fn credentials_come_from_one_place_and_a_virtual_key_needs_a_master_key() {
    let (program, url) = (("credentials-program", "/issue"), ("credentials-litellm-url", "https://models/"));
    let (file, variable) = (("credentials-litellm-key-file", "/key"), ("credentials-litellm-key-variable", "KEY"));
    let (ca, endpoint) = (("credentials-litellm-ca", "/ca.pem"), ("credentials-endpoint", "https://models/v1"));
    for (flags, expected) in [
        (vec![url], "credentials.litellm_url is given without credentials.litellm_key_file"),
        (vec![file], "credentials.litellm_key_file is given without credentials.litellm_url"),
        (vec![variable], "credentials.litellm_key_variable is given without credentials.litellm_url"),
        (vec![program, ca], "credentials.litellm_ca is given without credentials.litellm_url"),
        (vec![program, endpoint], "credentials.endpoint is given without credentials.litellm_url"),
        (vec![program, url, file], "both credentials.program and credentials.litellm_url are given"),
        (vec![url, file, variable], "both credentials.litellm_key_file and credentials.litellm_key_variable are given"),
        (vec![("credentials-litellm-url", "http://models/"), file], "an https:// address"),
    ] {
        let mistake = only_mistake(&flags, &[], "");
        assert!(mistake.contains(expected), "{mistake}");
    }
    assert!(resolve(&[], &[], "").unwrap().0.credentials.is_none());
    for flags in [vec![program], vec![url, file], vec![url, variable, ca, endpoint]] {
        assert!(resolve(&flags, &[], "").unwrap().0.credentials.is_some());
    }
}

#[test]
fn the_highest_layer_decides_and_is_named() {
    let (file, env) = ("listen = \"127.0.0.1:3\"", [("MOORLINE_LISTEN", "127.0.0.1:2")]);
    let flags = [("listen", "127.0.0.1:1")];
    let at = |line, column| Origin::File { path: "/etc/moorline.toml".into(), line, column };
    for (resolved, port, origin) in [
        (resolve(&flags, &env, file), 1, Origin::Flag("listen".to_owned())),
        (resolve(&[], &env, file), 2, Origin::Environment("MOORLINE_LISTEN".to_owned())),
        (resolve(&[], &[], file), 3, at(1, 10)),
        (resolve(&[], &[], ""), 7707, Origin::Default),
    ] {
        let (config, resolved) = resolved.unwrap();
        assert_eq!(config.listen, SocketAddr::from(([127, 0, 0, 1], port)));
        let row = resolved.rows.iter().find(|row| row.option.key == "listen").unwrap();
        assert_eq!(row.origin, origin);
    }
}

#[test]
fn every_option_can_be_given_in_every_layer() {
    for option in ConfigOption::all() {
        let other = match option.key {
            "tls.cert" => &["tls.key"][..],
            "tls.key" => &["tls.cert"],
            "tls.client_ca" => &["tls.client_principals", "tls.cert", "tls.key"],
            "tls.client_principals" => &["tls.client_ca", "tls.cert", "tls.key"],
            "tls.client_grants" => &["tls.client_principals", "tls.client_ca", "tls.cert", "tls.key"],
            "credentials.litellm_url" => &["credentials.litellm_key_file"],
            "credentials.litellm_key_file" | "credentials.litellm_key_variable" => &["credentials.litellm_url"],
            "credentials.litellm_ca" | "credentials.endpoint" => {
                &["credentials.litellm_url", "credentials.litellm_key_file"]
            }
            "auth.jwt.keys" | "auth.jwt.jwks_url" => &["auth.jwt.issuer", "auth.jwt.audience"],
            "auth.jwt.issuer" => &["auth.jwt.audience", "auth.jwt.keys"],
            "auth.jwt.audience" => &["auth.jwt.issuer", "auth.jwt.keys"],
            "auth.jwt.jwks_ca" => &["auth.jwt.jwks_url", "auth.jwt.issuer", "auth.jwt.audience"],
            "otlp.headers_file" | "otlp.headers_variable" | "otlp.ca" | "otlp.insecure_plaintext" => &["otlp.endpoint"],
            "workers.tls_cert" => &["workers.tls_key"],
            "workers.tls_key" => &["workers.tls_cert"],
            "workers.listen" => &["insecure_plaintext"],
            _ => &[],
        };
        let given: Vec<_> = other.iter().filter_map(|key| ConfigOption::find(key)).chain([option]).collect();
        let flags: Vec<_> = given.iter().map(|option| (option.flag(), option.example)).collect();
        let env: Vec<_> = given.iter().map(|option| (option.environment(), option.example)).collect();
        let by_flag = resolve(&pairs(&flags), &[], "").unwrap().1;
        let by_variable = resolve(&[], &pairs(&env), "").unwrap().1;
        let row = |resolved: Resolved| resolved.rows.into_iter().find(|row| row.option.key == option.key).unwrap();
        let (by_flag, by_variable) = (row(by_flag), row(by_variable));
        assert_eq!(by_flag.origin, Origin::Flag(option.flag()), "{}", option.key);
        assert_eq!(by_variable.origin, Origin::Environment(option.environment()), "{}", option.key);
        assert_eq!(by_flag.literal, by_variable.literal, "{}", option.key);
    }
}

fn pairs<'a>(owned: &'a [(String, &'a str)]) -> Vec<(&'a str, &'a str)> {
    owned.iter().map(|(name, value)| (name.as_str(), *value)).collect()
}

#[test]
fn what_is_shown_is_a_file_that_resolves_to_the_same() {
    let file = "\
        listen = \"0.0.0.0:1\"\ninsecure_plaintext = true\nbuiltin_agents = []\ndata_dir = \"data\"\n\
        [journal]\ndurability = \"power\"\n[limits]\nmax_frame_bytes = 65537\nmax_connections = 5\n\
        [jobs]\ndefault_max_runtime = \"90s\"\n[log]\nfilter = \"info,x=debug\"\n\
        [[agents]]\nname = \"a\"\nversion = \"1\"\ncommand = [\"/bin/x\", \"q\\\"uote\"]\nenv = { \"A b\" = \"hush\" }\n";
    let (config, resolved) = resolve(&[], &[], file).unwrap();
    let shown = resolved.to_string();
    assert!(!shown.contains("hush") && shown.contains("[redacted]"), "{shown}");
    let (again, shown_again) = resolve(&[], &[], &shown).unwrap_or_else(|mistakes| panic!("{mistakes}\n{shown}"));
    let values = |resolved: Resolved| -> Vec<_> { resolved.rows.into_iter().map(|row| row.literal).collect() };
    assert_eq!(values(shown_again), values(resolved));
    assert_eq!(again.agents[0].args, config.agents[0].args);
    assert_eq!(config.journal.durability, Durability::Power);
    assert_eq!(config.data_dir, PathBuf::from("/etc/data"));
    assert_eq!(config.jobs.default_max_runtime, Some(Duration::from_secs(90)));
    assert!(config.builtin_agents.is_empty());
}

#[test]
fn nothing_given_is_a_configuration_for_this_machine_only() {
    let (config, resolved) = Config::resolve(sources(&[], &[], None)).unwrap();
    assert!(config.listen.ip().is_loopback() && config.transport == Transport::Plaintext);
    assert!(config.builtin_agents.iter().eq(&[BuiltinAgent::Census, BuiltinAgent::Echo]));
    assert_eq!(resolved.rows.len(), ConfigOption::all().len());
    assert!(resolved.rows.iter().all(|row| row.origin == Origin::Default));
    assert_eq!(config.workers.program, PathBuf::from("/usr/bin/moorline"));
}

proptest::proptest! {
    #[test]
    fn no_file_makes_resolving_panic(text in "([a-z_.\\[\\]{}=\"',#0-9\n -]|agents|tls|listen|é){0,60}") {
        // Whatever it says, it is a configuration or at least one mistake.
        if let Err(mistakes) = resolve(&[], &[], &text) {
            proptest::prop_assert!(mistakes.iter().count() > 0);
        }
    }
}
