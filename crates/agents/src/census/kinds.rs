//! From a file's name to what kind of file it is.

use std::ffi::OsStr;
use std::path::Path;

/// Names that say it without an extension.
const NAMES: &[(&str, &str)] = &[
    ("makefile", "Make"),
    ("dockerfile", "Dockerfile"),
    ("cargo.lock", "TOML"),
    ("cmakelists.txt", "CMake"),
    ("license", "Text"),
    ("readme", "Text"),
    (".gitignore", "Git"),
    (".gitattributes", "Git"),
];

/// Extensions, in lower case.
const EXTENSIONS: &[(&str, &str)] = &[
    ("rs", "Rust"),
    ("toml", "TOML"),
    ("md", "Markdown"),
    ("py", "Python"),
    ("js", "JavaScript"),
    ("mjs", "JavaScript"),
    ("ts", "TypeScript"),
    ("tsx", "TypeScript"),
    ("go", "Go"),
    ("java", "Java"),
    ("kt", "Kotlin"),
    ("c", "C"),
    ("h", "C"),
    ("cc", "C++"),
    ("cpp", "C++"),
    ("hpp", "C++"),
    ("cs", "C#"),
    ("rb", "Ruby"),
    ("php", "PHP"),
    ("sh", "Shell"),
    ("bash", "Shell"),
    ("sql", "SQL"),
    ("proto", "Protobuf"),
    ("html", "HTML"),
    ("css", "CSS"),
    ("json", "JSON"),
    ("jsonl", "JSON Lines"),
    ("yaml", "YAML"),
    ("yml", "YAML"),
    ("xml", "XML"),
    ("csv", "CSV"),
    ("txt", "Text"),
    ("log", "Log"),
    ("pdf", "PDF"),
    ("png", "Image"),
    ("jpg", "Image"),
    ("jpeg", "Image"),
    ("gif", "Image"),
    ("svg", "SVG"),
    ("webp", "Image"),
    ("mp3", "Audio"),
    ("wav", "Audio"),
    ("mp4", "Video"),
    ("zip", "Archive"),
    ("gz", "Archive"),
    ("xz", "Archive"),
    ("zst", "Archive"),
    ("tar", "Archive"),
    ("so", "Library"),
    ("a", "Library"),
    ("o", "Object"),
    ("db", "Database"),
    ("sqlite", "Database"),
    ("wasm", "WebAssembly"),
];

/// What a file is called whose name says nothing.
pub(super) const OTHER: &str = "Other";

/// The kind of the file with this path.
pub(super) fn of(path: &Path) -> &'static str {
    let lower = |text: Option<&OsStr>| text.and_then(OsStr::to_str).map(str::to_ascii_lowercase).unwrap_or_default();
    let (name, extension) = (lower(path.file_name()), lower(path.extension()));
    let find = |table: &[(&str, &'static str)], key: &str| {
        table.iter().find(|(known, _)| *known == key).map(|(_, kind)| *kind)
    };
    find(NAMES, &name).or_else(|| find(EXTENSIONS, &extension)).unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_or_an_extension_says_what_a_file_is() {
        for (path, kind) in [
            ("a/b.rs", "Rust"),
            ("A.RS", "Rust"),
            ("Makefile", "Make"),
            ("x.tar.gz", "Archive"),
            ("README", "Text"),
            ("nothing", OTHER),
            (".hidden", OTHER),
            ("rs", OTHER),
        ] {
            assert_eq!(of(Path::new(path)), kind, "{path}");
        }
    }
}
