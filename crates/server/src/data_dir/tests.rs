use moorline_types::Timestamp;
use tempfile::TempDir;

use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn open(path: &Path) -> Result<DataDir, DataDirError> {
    DataDir::open(path, None)
}

#[test]
fn a_file_in_the_place_of_the_directory_is_refused() {
    let temp = TempDir::new().unwrap();
    let path = temp.path().join("file");
    fs::write(&path, "").unwrap();
    for path in [path.clone(), path.join("below")] {
        let error = open(&path).unwrap_err();
        assert!(matches!(error, DataDirError::NotADirectory { .. }), "{}: {error:?}", path.display());
    }
}

#[test]
fn a_directory_that_others_can_write_to_is_refused_and_left_as_it_is() {
    let temp = TempDir::new().unwrap();
    fs::set_permissions(temp.path(), Permissions::from_mode(0o777)).unwrap();
    let error = open(temp.path()).unwrap_err();
    assert!(matches!(error, DataDirError::WritableByOthers { mode: 0o777, .. }), "{error:?}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_second_gateway_is_refused_and_told_who_is_first() {
    let temp = TempDir::new().unwrap();
    let first = open(temp.path()).unwrap();
    let error = open(temp.path()).unwrap_err();
    assert!(matches!(error, DataDirError::InUse { pid: Some(pid), .. } if pid == std::process::id()), "{error:?}");
    drop(first);
    assert!(open(temp.path()).is_ok());
}

#[test]
fn a_format_that_this_version_does_not_know_is_refused() {
    for (text, expected) in [
        ("2\n", "has format 2, this version knows up to 1"),
        ("999999999999", "has format 999999999999"),
        ("0", "does not hold the number of a format"),
        ("", "does not hold the number of a format"),
        ("one", "does not hold the number of a format"),
        ("-1", "does not hold the number of a format"),
    ] {
        let temp = TempDir::new().unwrap();
        fs::write(temp.path().join("VERSION"), text).unwrap();
        let error = open(temp.path()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text:?}: {error}");
        assert_eq!(fs::read_to_string(temp.path().join("VERSION")).unwrap(), text);
    }
    let temp = TempDir::new().unwrap();
    fs::write(temp.path().join("VERSION"), b"\xff\xff").unwrap();
    assert!(matches!(open(temp.path()).unwrap_err(), DataDirError::UnreadableFormat { .. }));
}

#[test]
fn a_link_in_the_place_of_the_lock_is_not_followed() {
    let temp = TempDir::new().unwrap();
    let victim = temp.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let data = temp.path().join("data");
    fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(&victim, data.join("gateway.lock")).unwrap();
    assert!(open(&data).is_err());
    assert_eq!(fs::read_to_string(victim).unwrap(), "precious");
}

#[test]
fn everything_that_is_made_is_for_the_owner_only() {
    let temp = TempDir::new().unwrap();
    let data = open(&temp.path().join("a/b/c")).unwrap();
    let key = ApiKey::from_entropy([7; 32]);
    data.write_admin_token(&key).unwrap();
    data.prepare_journal_db().unwrap();
    data.publish(&endpoint()).unwrap();
    for directory in [temp.path().join("a"), data.path().to_owned(), data.workers(), data.scratch()] {
        assert_eq!(mode(&directory), 0o700, "{}", directory.display());
    }
    let files: Vec<PathBuf> = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    for file in files.iter().filter(|path| path.is_file()) {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    assert_eq!(fs::read_to_string(data.admin_token()).unwrap(), format!("{}\n", key.expose()));
}

#[test]
fn a_journal_that_others_can_read_is_made_private_and_keeps_its_content() {
    let temp = TempDir::new().unwrap();
    let data = open(temp.path()).unwrap();
    fs::write(data.journal_db(), "content").unwrap();
    fs::set_permissions(data.journal_db(), Permissions::from_mode(0o644)).unwrap();
    let path = data.prepare_journal_db().unwrap();
    assert_eq!((mode(&path), fs::read_to_string(&path).unwrap().as_str()), (0o600, "content"));
}

fn endpoint() -> Endpoint {
    Endpoint { url: "ws://127.0.0.1:7707/arcp".to_owned(), grpc: None, pid: 42, version: "0.1.0".to_owned() }
}

#[test]
fn a_gateway_is_found_while_it_says_where_it_is() {
    let temp = TempDir::new().unwrap();
    assert_eq!(Endpoint::read(&temp.path().join("nothing")).unwrap(), None);
    let data = open(temp.path()).unwrap();
    assert_eq!(Endpoint::read(temp.path()).unwrap(), None);
    data.publish(&endpoint()).unwrap();
    assert_eq!(Endpoint::read(temp.path()).unwrap(), Some(endpoint()));
    data.withdraw().unwrap();
    data.withdraw().unwrap();
    assert_eq!(Endpoint::read(temp.path()).unwrap(), None);
}

#[test]
fn what_is_no_endpoint_is_an_error_that_names_the_file() {
    let temp = TempDir::new().unwrap();
    for text in ["", "{}", "{\"url\": 1}", "[]"] {
        fs::write(temp.path().join("gateway.json"), text).unwrap();
        let error = Endpoint::read(temp.path()).unwrap_err().to_string();
        assert!(error.contains("gateway.json") && error.contains("--url"), "{text:?}: {error}");
    }
}

#[test]
fn a_field_of_a_newer_gateway_is_ignored() {
    let temp = TempDir::new().unwrap();
    let text = "{\"url\": \"ws://127.0.0.1:7707/arcp\", \"pid\": 42, \"version\": \"0.1.0\", \"fax\": \"x\"}";
    fs::write(temp.path().join("gateway.json"), text).unwrap();
    assert_eq!(Endpoint::read(temp.path()).unwrap(), Some(endpoint()));
}

#[test]
fn a_worker_socket_can_be_bound_however_long_the_path_is() {
    let temp = TempDir::new().unwrap();
    let runtime_dir = temp.path().join("run");
    fs::create_dir(&runtime_dir).unwrap();
    for depth in [0, 2, 4] {
        let path = (0..depth).fold(temp.path().join("data"), |path, _| path.join("d".repeat(60)));
        let data = DataDir::open(&path, Some(&runtime_dir)).unwrap();
        let socket = data.worker_socket().to_owned();
        assert_eq!(socket.starts_with(&runtime_dir), depth > 0, "{}", socket.display());
        std::os::unix::net::UnixListener::bind(&socket).unwrap();
        drop(data);
        let again = DataDir::open(&path, None).unwrap();
        assert_eq!(again.worker_socket(), socket, "the place stays although the runtime directory is another");
        assert_eq!(mode(socket.parent().unwrap()), 0o700);
    }
}

#[test]
fn the_log_of_a_worker_is_named_after_it() {
    let temp = TempDir::new().unwrap();
    let data = open(temp.path()).unwrap();
    let worker = WorkerId::mint(Timestamp::from_unix_millis(0), [1; 10]);
    assert_eq!(data.worker_log(worker), data.path().join(format!("workers/{worker}.log")));
}
