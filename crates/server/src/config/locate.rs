//! Finding and reading the configuration file.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::mistake::{Mistake, Problem};
use super::origin::Origin;
use super::sources::{ConfigFile, Environment, absolute_directory};

/// The largest configuration file. The longest sensible one, with every agent at full length, is a tenth of it;
/// what is larger is a mix-up, and reading it whole would be the first unbounded thing that the gateway does.
pub const MAX_CONFIG_FILE_BYTES: u64 = 1024 * 1024;

/// What the file is called in the places where it is looked for.
const FILE_NAME: &str = "moorline.toml";

/// The variable that names the file.
pub(super) const CONFIG_VARIABLE: &str = "MOORLINE_CONFIG";

/// The file that `--config` names, else `MOORLINE_CONFIG`, else `moorline.toml` in the working directory, else in
/// the user's configuration directory. The first two must exist; the others need not.
pub(super) fn find(flag: Option<&Path>, env: &Environment, cwd: &Path) -> ConfigFile {
    let named = flag.map(Path::to_owned).or_else(|| env.get(CONFIG_VARIABLE).map(PathBuf::from));
    if let Some(path) = named {
        return read_named(cwd.join(path));
    }
    [Some(cwd.to_owned()), user_directory(env)]
        .into_iter()
        .flatten()
        .map(|directory| directory.join(FILE_NAME))
        .find_map(read_if_present)
        .unwrap_or(ConfigFile::Absent)
}

fn user_directory(env: &Environment) -> Option<PathBuf> {
    absolute_directory(env, "XDG_CONFIG_HOME")
        .or_else(|| absolute_directory(env, "HOME").map(|home| home.join(".config")))
        .map(|directory| directory.join("moorline"))
}

fn read_named(path: PathBuf) -> ConfigFile {
    match read(&path) {
        Ok(text) => ConfigFile::Read { path, text },
        Err(problem) => ConfigFile::Unusable(Mistake { origin: Origin::WholeFile(path), problem }),
    }
}

/// `None` if there is no file; one that is there but cannot be read must not be passed over in silence.
fn read_if_present(path: PathBuf) -> Option<ConfigFile> {
    match read(&path) {
        Err(Problem::FileMissing) => None,
        Ok(text) => Some(ConfigFile::Read { path, text }),
        Err(problem) => Some(ConfigFile::Unusable(Mistake { origin: Origin::WholeFile(path), problem })),
    }
}

fn read(path: &Path) -> Result<String, Problem> {
    let missing = |error: &io::Error| matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory);
    let file = File::open(path).map_err(|source| match missing(&source) {
        true => Problem::FileMissing,
        false => Problem::FileUnreadable { source },
    })?;
    let mut bytes = Vec::new();
    let read = file.take(MAX_CONFIG_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|source| Problem::FileUnreadable { source })?;
    if bytes.len() as u64 > MAX_CONFIG_FILE_BYTES {
        return Err(Problem::FileTooLarge);
    }
    String::from_utf8(bytes).map_err(|_| Problem::FileNotText)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn env(pairs: &[(&str, &Path)]) -> Environment {
        pairs.iter().map(|(name, path)| ((*name).to_owned(), path.as_os_str().to_owned())).collect()
    }

    fn text(file: ConfigFile) -> Option<String> {
        match file {
            ConfigFile::Read { text, .. } => Some(text),
            ConfigFile::Absent | ConfigFile::Unusable(_) => None,
        }
    }

    #[test]
    fn a_named_file_that_is_missing_is_a_mistake_and_an_unnamed_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let nothing = dir.path().join("nothing.toml");
        let problem = |file| match file {
            ConfigFile::Unusable(mistake) => Some(mistake.problem),
            ConfigFile::Absent | ConfigFile::Read { .. } => None,
        };
        let by_flag = find(Some(&nothing), &Environment::new(), dir.path());
        assert!(matches!(problem(by_flag), Some(Problem::FileMissing)));
        let by_variable = find(None, &env(&[(CONFIG_VARIABLE, &nothing)]), dir.path());
        assert!(matches!(problem(by_variable), Some(Problem::FileMissing)));
        assert!(matches!(find(None, &Environment::new(), dir.path()), ConfigFile::Absent));
    }

    #[test]
    fn what_cannot_be_a_configuration_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let large = vec![b' '; usize::try_from(MAX_CONFIG_FILE_BYTES).unwrap() + 1];
        let files: [(&str, &[u8], &str); 2] = [("large", &large, "larger"), ("binary", b"\xff\xfe", "UTF-8")];
        for (name, bytes, expected) in files {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(matches!(read(dir.path()).unwrap_err(), Problem::FileUnreadable { .. }), "a directory");
    }

    #[test]
    fn the_places_are_looked_at_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let (cwd, xdg, home) = (dir.path().join("cwd"), dir.path().join("xdg"), dir.path().join("home"));
        let places = [
            (home.join(".config/moorline/moorline.toml"), "home"),
            (xdg.join("moorline/moorline.toml"), "xdg"),
            (cwd.join("moorline.toml"), "cwd"),
            (dir.path().join("variable.toml"), "variable"),
            (dir.path().join("flag.toml"), "flag"),
        ];
        for (path, name) in &places {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let [_, xdg_file, cwd_file, variable, flag] = places.map(|(path, _)| path);
        let all = env(&[(CONFIG_VARIABLE, &variable), ("XDG_CONFIG_HOME", &xdg), ("HOME", &home)]);
        let unnamed = env(&[("XDG_CONFIG_HOME", &xdg), ("HOME", &home)]);
        assert_eq!(text(find(Some(&flag), &all, &cwd)).as_deref(), Some("flag"));
        assert_eq!(text(find(None, &all, &cwd)).as_deref(), Some("variable"));
        assert_eq!(text(find(None, &unnamed, &cwd)).as_deref(), Some("cwd"));
        fs::remove_file(cwd_file).unwrap();
        assert_eq!(text(find(None, &unnamed, &cwd)).as_deref(), Some("xdg"));
        fs::remove_file(xdg_file).unwrap();
        assert!(matches!(find(None, &unnamed, &cwd), ConfigFile::Absent), "XDG_CONFIG_HOME replaces ~/.config");
        assert_eq!(text(find(None, &env(&[("HOME", &home)]), &cwd)).as_deref(), Some("home"));
    }
}
